// Runs a script of this folder as a process of its own, and reads what it prints line by line.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { plainly } from '../support/plainly.ts'

export interface Child {
  readonly process: ChildProcess
  readonly pid: number
  readonly lines: string[]
  readonly errors: () => string
  /** The first line, past or future, that starts with `prefix`. Rejects when the process ends without it. */
  line(prefix: string): Promise<string>
  /** Resolves with the exit code or the signal, once everything it printed was read. */
  ended: Promise<number | string>
}

/** `wrap`: a program and its arguments that run node, strace for instance. */
export function runChild(
  script: string,
  options: { readonly arguments: readonly string[]; readonly wrap?: readonly string[] },
): Child {
  const file = fileURLToPath(new URL(script, import.meta.url))
  const [program = process.execPath, ...rest] = [
    ...(options.wrap ?? []),
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    file,
    ...options.arguments,
  ]
  const child = spawn(...plainly(program, rest), { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  let errors = ''
  let isOver = false
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const check of [...waiting]) check()
  }
  const reader = createInterface({ input: child.stdout })
  reader.on('line', line => {
    lines.push(line)
    wake()
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    errors += text
  })
  const ended = Promise.all([once(child, 'close'), once(reader, 'close')]).then(([[code, signal]]) => {
    isOver = true
    wake()
    return (code ?? signal) as number | string
  })
  return {
    process: child,
    pid: child.pid ?? -1,
    lines,
    errors: () => errors,
    ended,
    line: prefix =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = lines.find(line => line.startsWith(prefix))
          if (found === undefined && !isOver) return
          waiting.delete(check)
          if (found === undefined) reject(new Error(`${script} ended without ${prefix}: ${errors}`))
          else resolve(found)
        }
        waiting.add(check)
        check()
      }),
  }
}
