// Several processes append to one shared store and follow it: all see the same order, without holes, from the first moment.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { plainly } from '../support/plainly.ts'

const script = fileURLToPath(new URL('./append-and-follow.ts', import.meta.url))
const callsEach = 25
const names = ['a', 'b', 'c']

/** `place`: as append-and-follow.ts takes it. */
export async function checkThreeProcesses(t: Test, place: string): Promise<void> {
  const children = names.map(name => {
    const child = spawn(
      ...plainly(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        script,
        place,
        name,
        `${callsEach}`,
      ]),
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    t.teardown(() => child.kill('SIGKILL'))
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      errors += text
    })
    const lines: string[] = []
    const { promise: isWritten, resolve: written } = Promise.withResolvers<void>()
    createInterface({ input: child.stdout }).on('line', line => {
      lines.push(line)
      if (line === 'written') written()
    })
    const ended = once(child, 'close').then(([code]) => {
      written()
      return `exit ${code} ${errors}`
    })
    return { child, lines, isWritten, ended }
  })
  await Promise.all(children.map(({ isWritten }) => isWritten))
  for (const { child } of children) child.stdin.write('end\n')
  for (const { ended } of children) t.equal(await ended, 'exit 0 ')
  const seen = children.map(({ lines }) => lines.filter(line => line.startsWith('saw')))
  t.equal(seen[0]?.length, 4)
  for (const other of seen) t.strictSame(other, seen[0], 'the same entries in the same order')
  const entries = (seen[0] ?? []).reduce((sum, line) => sum + Number(line.split(' ')[2]), 0)
  t.ok(entries >= names.length * 3 * callsEach, `${entries} entries`)
}
