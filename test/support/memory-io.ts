// A process for commands under test: streams in memory, an environment and a folder of its own.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import type { Test } from 'tap'
import type { Io } from '../../src/cli/io.ts'
import { run } from '../../src/cli/main.ts'

export interface MemoryIo extends Io {
  out(): string
  err(): string
  /** What SIGTERM or SIGINT would do. */
  signal(name: NodeJS.Signals): void
}

export async function createFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'glyn-test-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export function createMemoryIo(
  cwd: string,
  options: {
    readonly stdin?: string | Readable
    readonly env?: Record<string, string>
    readonly isTTY?: boolean
  } = {},
): MemoryIo {
  const texts = { out: '', err: '' }
  const collect = (name: 'out' | 'err') =>
    Object.assign(
      new Writable({
        write(chunk, _, done) {
          texts[name] += String(chunk)
          done()
        },
      }),
      { isTTY: options.isTTY ?? false },
    )
  const { stdin = '' } = options
  const listeners = new Set<(signal: NodeJS.Signals) => void>()
  return {
    stdin: typeof stdin === 'string' ? Readable.from([Buffer.from(stdin)]) : stdin,
    stdout: collect('out'),
    stderr: collect('err'),
    env: options.env ?? {},
    cwd,
    onStopSignal(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    out: () => texts.out,
    err: () => texts.err,
    signal(name) {
      for (const listener of listeners) listener(name)
    },
  }
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs one command line to its end. */
export async function runCli(
  cwd: string,
  argv: readonly string[],
  options: Parameters<typeof createMemoryIo>[1] = {},
): Promise<Ran> {
  const io = createMemoryIo(cwd, options)
  const code = await run(argv, io)
  return { code, out: io.out(), err: io.err() }
}
