// docs/moving.md: its commands run as they stand there, and the lines that it shows are those of a file.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createExportFormat } from '../../../src/node/moving/export-formats.ts'
import { directoryOf } from '../../support/directory-of.ts'
import { runCli } from '../../support/memory-io.ts'
import { serveNode } from './served-node.ts'

const document = readFileSync(fileURLToPath(new URL('../../../docs/moving.md', import.meta.url)), 'utf8')

function linesOf(kind: string): string[] {
  const found = document
    .split(/^```/m)
    .filter((text, place) => place % 2 === 1 && text.startsWith(`${kind}\n`))
  return found.flatMap(text => text.trimEnd().split('\n').slice(1))
}

/** Names of all fields, with those inside. */
const shapeOf = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shapeOf(inner)]))
    : typeof value

t.test('docs/moving.md', { timeout: 120_000 }, async t => {
  const folder = directoryOf(t)
  mkdirSync(join(folder, 'data'))
  const a = await serveNode(t, join(folder, 'data'))
  for (let n = 0; n < 600; n += 1)
    await a.node.execute('counter', `k${n % 7}`, { type: 'Add', data: { by: n } })
  const b = await serveNode(t, join(folder, 'new'), { partitions: 3 })
  const said = new Map<string, string>()
  const lines = linesOf('sh')
  t.equal(lines.length, 7)
  for (const line of lines) {
    const [program, ...args] = line.split(' ')
    t.equal(program, 'glyn-node')
    const { code, out, err } = await runCli(folder, args)
    t.equal(code, 0, `${line}: ${err}`)
    said.set(line, out)
  }
  const hashes = new Set([...said.values()].map(out => /sha256-sum:[0-9a-f]{64}/.exec(out)?.[0]))
  t.equal(hashes.size, 1, 'all of them print the same hash')
  t.match(await b.node.loadAggregate('counter', 'k3'), {
    sequence: (await a.node.loadAggregate('counter', 'k3')).sequence,
  })
  t.match(said.get(lines.at(-1) ?? ''), 'start it with: glyn-node start --topic test --data-dir restored')
  const restored = await serveNode(t, join(folder, 'restored'))
  t.match(await restored.node.loadAggregate('counter', 'k3'), { sequence: 86 })

  const shown = linesOf('json').map(line => JSON.parse(line) as Record<string, unknown>)
  const written = readFileSync(join(folder, 'bank.ndjson'), 'utf8').trimEnd().split('\n')
  const kindOf = (value: Record<string, unknown>): string => Object.keys(value)[0] ?? ''
  for (const example of shown.slice(0, 4)) {
    const real = written
      .map(line => JSON.parse(line) as Record<string, unknown>)
      .find(one => kindOf(one) === kindOf(example))
    const { data: _, ...shape } = shapeOf(real) as Record<string, unknown>
    const { data: __, ...expected } = shapeOf(example) as Record<string, unknown>
    t.strictSame(shape, expected, kindOf(example))
  }
  // The same event, in both formats.
  const [envelope, cloudEvent] = [shown[1], shown[4]]
  const format = createExportFormat('cloudevents', 'default')
  t.strictSame(format.parseEvent(JSON.stringify(cloudEvent)), envelope)
  t.strictSame(JSON.parse(format.event(envelope as never)), cloudEvent)
})
