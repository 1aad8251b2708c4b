// Read-your-writes: an answer after the token of a command includes what the command did, on whichever node it is asked.
import t from 'tap'
import { hasCode } from '../../src/core/errors.ts'
import { parseToken } from '../../src/core/token.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { createQueryHost, type QueryHost } from '../../src/query/query-host.ts'
import { createRandom } from '../store/random.ts'
import { createMemoryCluster, eventually, type MemoryNode } from './memory-cluster.ts'

const nodes = 3
const clients = 6
const steps = 60
const ids = ['a', 'b', 'c', 'd', 'e']
const seed = Number(process.env['GLYN_SEED'] ?? Math.floor(Math.random() * 1_000_000))

const counts = defineQuery<{ type: 'Added'; data: { by: number } }>({
  name: 'counts',
  init: db =>
    void db.exec('create table if not exists counts (id text primary key, events integer, total integer)'),
  handle(id, events, { db }) {
    const add = db.prepare(
      'insert into counts values (?, 1, ?) on conflict do update set events = events + 1, total = total + excluded.total',
    )
    for (const { data } of events) add.run(id, data.by)
  },
  answer: {
    get: (db, { id }: { id: string }) =>
      db.prepare('select events, total from counts where id = ?').get(id) ?? { events: 0, total: 0 },
  },
})

interface Answer {
  readonly events: number
}

t.test(`an answer after a token is never stale, on any node (GLYN_SEED=${seed})`, async t => {
  const cluster = createMemoryCluster({ partitions: 4, replicas: 3 })
  const hosts = new Map<MemoryNode, QueryHost>()
  t.teardown(async () => {
    await Promise.all([...hosts.values()].map(host => host.close()))
    await cluster.stop()
  })
  // The last node holds no replicas: its queries live from what gossip and others bring.
  for (let place = 0; place < nodes; place += 1) {
    const node = await cluster.start(`n${place}`, { role: place === nodes - 1 ? 'query' : 'full' })
    const { feed } = node.parts
    const host = createQueryHost({
      queries: [counts],
      dataDirectory: null,
      source: { heads: feed.heads, onAdvance: feed.onAdvance, read: feed.read, localLog: null },
      clock: systemClock,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    })
    await host.start()
    hosts.set(node, host)
  }
  const random = createRandom(seed)
  const pick = <Value>(values: readonly Value[]): Value => {
    const found = values[Math.floor(random() * values.length)]
    if (found === undefined) throw new Error('nothing to pick from')
    return found
  }
  let asked = 0
  let lagging = 0
  let staleWithoutToken = 0

  const ask = async (id: string, after?: ReadonlyMap<number, number>): Promise<Answer> => {
    const host = pick([...hosts.values()])
    return (await host.ask('counts', 'get', { id }, { timeoutMs: 60_000, after })) as Answer
  }

  /** Each client does one thing after the other, on any node, and asks on any other. */
  const client = async (): Promise<void> => {
    for (let step = 0; step < steps; step += 1) {
      const id = pick(ids)
      const outcome = await pick(cluster.nodes).execute(id, { type: 'Add', data: { by: 1 } })
      if (outcome.type !== 'accepted') throw new Error(`rejected: ${outcome.message}`)
      if (random() < 0.3 && (await ask(id)).events < outcome.sequence) staleWithoutToken += 1
      const after = parseToken(outcome.token)
      const { events } = await ask(id, after)
      asked += 1
      if (events < outcome.sequence) {
        t.fail(
          `asked after ${outcome.token}: ${events} events of ${id}, though the command was event ${outcome.sequence}`,
        )
      }
      if (random() < 0.05) {
        const [[partition, index] = [0, 0]] = after
        const ahead = new Map([[partition, index + 1_000_000]])
        const host = pick([...hosts.values()])
        await host.ask('counts', 'get', { id }, { timeoutMs: 5, after: ahead }).then(
          () => t.fail('an answer to a token that nothing has reached'),
          error => {
            if (!hasCode(error, 'QUERY_LAGGING')) throw error
            lagging += 1
          },
        )
      }
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  t.equal(asked, clients * steps)
  t.comment(
    `${staleWithoutToken} answers without a token were stale, ${lagging} tokens from the future timed out`,
  )
  await eventually(async () => {
    const totals = await Promise.all(
      [...hosts.values()].map(async host => {
        const answers = await Promise.all(
          ids.map(id => host.ask('counts', 'get', { id }, { timeoutMs: 60_000 }) as Promise<Answer>),
        )
        return answers.reduce((sum, { events }) => sum + events, 0)
      }),
    )
    return totals.every(total => total === asked)
  }, 'every node counted every event once')
})
