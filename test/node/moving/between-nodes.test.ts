// From one store to another and back, through the commands that people use.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type AnyAggregate, defineAggregate } from '../../../src/core/aggregate.ts'
import type { Command } from '../../../src/core/command.ts'
import type { EventEnvelope } from '../../../src/core/event.ts'
import { runImport } from '../../../src/node/moving/run-import.ts'
import { directoryOf } from '../../support/directory-of.ts'
import { gather } from '../../support/gather.ts'
import { runCli } from '../../support/memory-io.ts'
import { counter } from '../memory-cluster.ts'
import { serveNode } from './served-node.ts'

/** Takes any events, as its command says. */
const recorder: AnyAggregate = defineAggregate({
  type: 'recorder',
  emptyState: { events: 0 },
  handle: (_state, command: Command<'Record', { readonly events: readonly object[] }>) =>
    command.data.events as never,
  apply: (state: { readonly events: number }) => ({ events: state.events + 1 }),
})

const aggregates = [counter, recorder]
const withoutPlace = ({ position: _, ...event }: EventEnvelope) => event
const bySequence = (events: readonly EventEnvelope[]) =>
  events.map(withoutPlace).sort((one, other) => (one.id < other.id ? -1 : 1))

interface Summary {
  readonly events: number
  readonly commands: number
  readonly hash: string
  readonly token: string
  readonly appended: number
  readonly there: number
}

t.test('moving house', { timeout: 180_000 }, async t => {
  const folder = directoryOf(t)
  const a = await serveNode(t, join(folder, 'a'), { aggregates })
  const b = await serveNode(t, join(folder, 'b'), { aggregates, partitions: 5 })
  const json = async (args: readonly string[], stdin = ''): Promise<Summary> => {
    const { code, out, err } = await runCli(folder, [...args, '--json'], { stdin })
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${err}`)
    return JSON.parse(out) as Summary
  }

  const record = (
    id: string,
    events: readonly object[],
    options: { commandId?: string; metadata?: Record<string, string> } = {},
  ) => a.node.execute('recorder', id, { type: 'Record', data: { events } }, options)
  for (let n = 0; n < 300; n += 1)
    await a.node.execute(
      'counter',
      `acc-${n % 20}`,
      { type: 'Add', data: { by: n } },
      { metadata: { user: `u${n}` } },
    )
  await record('odd', [
    { type: 'Öl\u0085', version: 3, data: { '2': 'b', '1': 'a', text: '\u0000\ud800\u007f"\\' } },
  ])
  await record(
    'odd',
    [null, [], 0, '', false, 1e21, -0.5].map((data, n) => ({ type: `T${n}`, data })),
    { commandId: 'set: ü 1' },
  )
  await record(
    'thousand',
    Array.from({ length: 1000 }, (_, n) => ({ type: 'Small', data: { n } })),
  )
  // A block of these is far larger than any body that HTTP takes otherwise.
  for (let n = 0; n < 6; n += 1) await record(`large-${n}`, [{ type: 'Large', data: 'é'.repeat(500_000) }])
  const before = await gather(a.node.subscribe({ from: 'start', until: 'now' }))
  let first: Summary | undefined

  await t.test('an import gives the same history in other partitions, and the same hash', async t => {
    first = await json(['export', 'a.ndjson', '--data-dir', 'a'])
    t.equal(first.events, 300 + 1 + 7 + 1000 + 6)
    t.equal(first.commands, 300 + 1 + 1 + 1 + 6)
    t.match(await json(['import', '--check', 'a.ndjson']), { events: first.events, hash: first.hash })
    const imported = await json(['import', 'a.ndjson', '--data-dir', 'b'])
    t.match(imported, { events: first.events, hash: first.hash, appended: first.commands, there: 0 })
    const after = await gather(b.node.subscribe({ from: 'start', until: 'now' }))
    t.strictSame(bySequence(after), bySequence(before))
    const entryOf = (events: readonly EventEnvelope[]) =>
      new Set(
        events
          .filter(({ commandId }) => commandId === 'set: ü 1')
          .map(({ position }) => `${position.partition}:${position.index}`),
      )
    t.equal(entryOf(after).size, 1, 'the events of a command are in one entry')
    t.match(
      await b.node.loadAggregate('counter', 'acc-3'),
      await a.node.loadAggregate('counter', 'acc-3').then(({ state, sequence }) => ({ state, sequence })),
    )
    const again = await b.node.execute(
      'recorder',
      'odd',
      { type: 'Record', data: { events: [] } },
      { commandId: 'set: ü 1' },
    )
    t.match(
      again,
      { type: 'accepted', replayed: true, events: { length: 7 } },
      'the first outcome of a command moved along',
    )
    t.equal((await json(['export', 'b.ndjson', '--data-dir', 'b'])).hash, first.hash)
  })

  await t.test('a second import writes nothing', async t => {
    const indexes = (await b.node.status()).partitions.map(({ commitIndex }) => commitIndex)
    t.match(await json(['import', 'a.ndjson', '--data-dir', 'b']), {
      appended: 0,
      there: first?.commands,
      hash: first?.hash,
    })
    t.strictSame(
      (await b.node.status()).partitions.map(({ commitIndex }) => commitIndex),
      indexes,
    )
  })

  await t.test('CloudEvents, through a pipe, bring the same', async t => {
    const c = await serveNode(t, join(folder, 'c'), { aggregates: [], partitions: 1 })
    const { code, out, err } = await runCli(folder, [
      'export',
      '-',
      '--format',
      'cloudevents',
      '--data-dir',
      'a',
      '--json',
    ])
    t.equal(code, 0)
    t.equal((JSON.parse(err) as Summary).hash, first?.hash)
    t.match(await json(['import', '-', '--data-dir', 'c'], out), {
      appended: first?.commands,
      hash: first?.hash,
    })
    const after = await gather(c.node.subscribe({ from: 'start', until: 'now' }))
    t.strictSame(bySequence(after), bySequence(before), 'also where no code of the types is loaded')
  })

  await t.test('a later export has what came after its token, and needs what came before', async t => {
    await a.node.execute('counter', 'acc-3', { type: 'Add', data: { by: 7 } })
    const token = first?.token ?? ''
    t.match(await json(['export', 'later.ndjson', '--from', token, '--data-dir', 'a']), { events: 1 })
    await serveNode(t, join(folder, 'd'), { aggregates })
    const { code, err } = await runCli(folder, ['import', 'later.ndjson', '--data-dir', 'd', '--json'])
    t.equal(code, 1)
    const { error } = JSON.parse(err) as { error: { code: string; message: string; details: unknown } }
    t.match(error, {
      code: 'SEQUENCE_CONFLICT',
      message:
        /^later\.ndjson, line 2: counter\/acc-3 in the store is not as in the file: expected at sequence 15, and is at 0\./,
      details: {
        count: 1,
        conflicts: [{ aggregate: { type: 'counter', id: 'acc-3' }, line: 2, expected: 15, found: 0 }],
      },
    })
    t.match(await json(['import', 'later.ndjson', '--data-dir', 'b']), { appended: 1 })
  })

  await t.test(
    'what has gone another way in the store is told, and nothing of that command is written',
    async t => {
      const e = await serveNode(t, join(folder, 'e'), { aggregates })
      const historyOf = (id: string) => before.filter(({ aggregate }) => aggregate.id === id)
      const copy = (id: string, count: number) =>
        e.node.append(
          historyOf(id)
            .slice(0, count)
            .map(({ aggregate, sequence, commandId, time, metadata, type, version, data }) => ({
              aggregate,
              expectedSequence: sequence - 1,
              commandId,
              timeMs: Date.parse(time),
              metadata: JSON.stringify(metadata),
              events: [{ type, version, data: JSON.stringify(data) }],
            })),
        )
      const add = (id: string, commandId: string) =>
        e.node.execute('counter', id, { type: 'Add', data: { by: 99 } }, { commandId })
      await add('acc-5', 'own-5')
      await add('acc-6', historyOf('acc-6')[0]?.commandId ?? '')
      await copy('acc-8', 2)
      await add('acc-8', 'own-8')
      await copy('acc-9', 3)
      await copy('acc-10', 15)
      await add('acc-10', 'own-10')
      const { code, err } = await runCli(folder, ['import', 'a.ndjson', '--data-dir', 'e', '--json'])
      t.equal(code, 1)
      const { conflicts } = (JSON.parse(err) as { error: { details: { conflicts: ConflictJson[] } } }).error
        .details
      t.strictSame(
        conflicts
          .map(({ aggregate, expected, found }) => [aggregate.id, expected, found])
          .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
        [
          ['acc-5', 0, 1],
          ['acc-6', 0, null],
          ['acc-8', 2, 3],
        ],
      )
      const commandsOf = async (id: string) =>
        (await e.node.loadEvents('counter', id)).map(({ commandId }) => commandId)
      const own = (id: string, count?: number) =>
        historyOf(id)
          .slice(0, count)
          .map(({ commandId }) => commandId)
      t.strictSame(await commandsOf('acc-5'), ['own-5'])
      t.strictSame(await commandsOf('acc-6'), own('acc-6', 1))
      t.strictSame(await commandsOf('acc-8'), [...own('acc-8', 2), 'own-8'])
      t.strictSame(await commandsOf('acc-9'), own('acc-9'), 'a beginning is gone on with')
      t.strictSame(await commandsOf('acc-10'), [...own('acc-10'), 'own-10'], 'what came later is no conflict')
      t.strictSame(await commandsOf('acc-7'), own('acc-7'), 'others beside them are whole')
    },
  )

  await t.test('a damaged file is refused before anything is written', async t => {
    const f = await serveNode(t, join(folder, 'f'), { aggregates })
    const lines = readFileSync(join(folder, 'a.ndjson'), 'utf8').split('\n')
    writeFileSync(
      join(folder, 'bad.ndjson'),
      lines.map((line, place) => (place === 250 ? line.replace('"by":', '"by":1') : line)).join('\n'),
    )
    const { code, err } = await runCli(folder, ['import', 'bad.ndjson', '--data-dir', 'f'])
    t.equal(code, 1)
    t.match(err, 'bad.ndjson, line 251: it is not as it was written')
    t.strictSame(await gather(f.node.subscribe({ from: 'start', until: 'now' })), [])
  })

  await t.test('a store that comes and goes gets every command once', async t => {
    const g = await serveNode(t, join(folder, 'g'), { aggregates })
    let calls = 0
    const file = readFileSync(join(folder, 'a.ndjson'))
    const summary = await runImport(
      (async function* () {
        yield file
      })(),
      'a.ndjson',
      {
        async append(appends, options) {
          calls += 1
          // Every other answer is lost on its way.
          const results = await g.node.append(appends, options)
          if (calls % 2 === 1) throw Object.assign(new Error('lost'), lost)
          return results
        },
      },
      { signal: new AbortController().signal, timeoutMs: 60_000 },
    )
    t.match(summary, { commands: first?.commands, hash: first?.hash })
    t.equal(summary.appended + summary.there, first?.commands)
    t.ok(calls > 2)
    t.strictSame(
      bySequence(await gather(g.node.subscribe({ from: 'start', until: 'now' }))),
      bySequence(before),
    )
  })

  await t.test('a stopped node is read where it lies', async t => {
    await b.close()
    const { code, out, err } = await runCli(folder, [
      'export',
      'stopped.ndjson',
      '--data-dir',
      'b',
      '--type',
      'counter',
      '--json',
    ])
    t.equal(code, 0)
    t.match(err, /no node runs on .*b: reading its database/)
    t.match(JSON.parse(out), { events: 301, remarks: [] })
    t.match(await runCli(folder, ['export', 'no.ndjson', '--data-dir', 'nowhere']), {
      code: 4,
      err: /no node answers/,
    })
    const again = await serveNode(t, join(folder, 'b'), { aggregates })
    t.match(await again.node.loadAggregate('counter', 'acc-3'), { sequence: 16 })
  })
})

interface ConflictJson {
  readonly aggregate: { readonly id: string }
  readonly expected: number
  readonly found: number | null
}

const lost = { name: 'GlynError', code: 'UNAVAILABLE', retryable: true }
