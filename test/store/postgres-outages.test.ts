// The database goes away and comes back: nothing acknowledged is lost, nothing happens twice, and callers are told the truth.
import t from 'tap'
import { hasCode } from '../../src/core/errors.ts'
import type { StoredEvent } from '../../src/core/record.ts'
import { createConnections } from '../../src/store/postgres/connections.ts'
import { checkPostgresOptions } from '../../src/store/postgres/postgres-options.ts'
import { postgresStore } from '../../src/store/postgres/postgres-store.ts'
import type { SharedStore } from '../../src/store/shared-store.ts'
import { eventually } from '../node/memory-cluster.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { binding, deposit } from './shared-appends.ts'

const kills = 2
const writers = 6
const skip = postgresIsMissing() ?? false

t.test(`kill -9 of PostgreSQL, ${kills} times in the middle of appends and reads`, { skip }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { connectionString } = server
  const stores = [0, 1, 2].map(() =>
    postgresStore({ connectionString, poolSize: 4, connectTimeoutMs: 1000, statementTimeoutMs: 5000 }),
  )
  t.teardown(() => Promise.all(stores.map(store => store.close())))
  for (const store of stores) await store.open(binding)

  let isEnough = false
  let isOver = false
  let unknown = 0
  let resolved = 0
  const acknowledged = new Map<string, number>()
  /** As a node does it: the same command again, until it is known what became of it. */
  async function write(writer: number): Promise<void> {
    const store = stores[writer % stores.length] as SharedStore
    const id = `acc-${writer}`
    for (let sequence = 0; !isEnough; sequence += 1) {
      const append = deposit(id, sequence, `c${sequence}`)
      for (let isSettled = false; !isSettled; ) {
        try {
          const [result] = await store.append([append])
          isSettled = true
          if (result?.type === 'conflict')
            throw new Error(`${id} is at ${result.sequence}, not at ${sequence}`)
          if (result?.type === 'duplicate') resolved += 1
          const index = result?.type === 'duplicate' ? result.events[0]?.index : result?.index
          acknowledged.set(`${append.partition} ${id} ${sequence + 1}`, index ?? 0)
        } catch (error) {
          if (!hasCode(error, 'UNAVAILABLE')) throw error
          unknown += 1
        }
      }
    }
  }
  /** Each new entry is the next one: no reader ever sees a hole. */
  async function follow(partition: number): Promise<StoredEvent[]> {
    const store = stores[partition % stores.length] as SharedStore
    const seen: StoredEvent[] = []
    for (;;) {
      const wasOver = isOver
      try {
        const more = await store.readLog(partition, { afterIndex: seen.at(-1)?.index ?? 0, limit: 50 })
        for (const event of more) {
          const next = (seen.at(-1)?.index ?? 0) + 1
          if (event.index !== next)
            throw new Error(`partition ${partition}: ${event.index} instead of ${next}`)
          seen.push(event)
        }
        if (wasOver && more.length === 0) return seen
        if (more.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
      } catch (error) {
        if (!hasCode(error, 'UNAVAILABLE')) throw error
      }
    }
  }
  const writing = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
  const following = Promise.all(Array.from({ length: binding.partitions }, (_, number) => follow(number + 1)))
  writing.catch(() => {
    isEnough = true
  })
  const until = async (count: number): Promise<void> => {
    while (acknowledged.size < count && !isEnough) await new Promise(resolve => setTimeout(resolve, 5))
  }
  for (let kill = 1; kill <= kills; kill += 1) {
    await until(acknowledged.size + 60)
    await server.kill()
    // An outage that outlasts a call, and one that a call lives through.
    if (kill % 2 === 1) await new Promise(resolve => setTimeout(resolve, 1200))
    await server.start()
  }
  await until(acknowledged.size + 60)
  isEnough = true
  await writing.finally(() => {
    isOver = true
  })
  const followed = (await following).flat()

  t.ok(unknown > 0, `${unknown} calls were told UNAVAILABLE, ${resolved} of them had been written`)
  const places = new Map(
    followed.map(event => [`${event.partition} ${event.aggregateId} ${event.sequence}`, event.index]),
  )
  t.equal(places.size, followed.length, 'no event twice')
  t.strictSame(
    [...acknowledged].filter(([key, index]) => places.get(key) !== index),
    [],
    `each of ${acknowledged.size} acknowledged appends is where it was acknowledged`,
  )
  t.equal(followed.length, acknowledged.size, 'and nothing else is there')
  for (let writer = 0; writer < writers; writer += 1) {
    const events = followed.filter(event => event.aggregateId === `acc-${writer}`)
    t.strictSame(
      events.map(({ sequence }) => sequence),
      events.map((_, place) => place + 1),
      `the history of acc-${writer} has no gap`,
    )
  }
})

t.test('outages of connections', { skip }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { connectionString } = server
  const open = async (more: object = {}): Promise<SharedStore> => {
    const store = postgresStore({ connectionString, ...more })
    t.teardown(() => store.close())
    await store.open(binding)
    return store
  }

  await t.test('connections that the server ends while nobody uses them are replaced', async t => {
    const store = await open()
    await Promise.all(Array.from({ length: 8 }, () => store.heads()))
    const pids = server.sql(
      `select string_agg(pid::text, ',') from pg_stat_activity where application_name = 'glyn-node'`,
    )
    const ours = `from pg_stat_activity where pid in (${pids})`
    server.sql(`select pg_terminate_backend(pid) ${ours}`)
    // They are told to end, and do a moment later.
    await eventually(() => server.sql(`select count(*) ${ours}`) === '0', 'the connections are ended')
    await Promise.all(Array.from({ length: 8 }, () => store.heads()))
    t.strictSame(await store.append([deposit('idle', 0, 'c')]), [{ type: 'appended', index: 1 }])
    t.strictSame(await store.sequences([{ type: 'bank_account', id: 'idle' }]), [1])
  })

  await t.test('a server that stands still costs a call its deadline, not the process', async t => {
    const store = await open({ statementTimeoutMs: 2000, connectTimeoutMs: 2000 })
    server.signal('SIGSTOP')
    const outcomes = await Promise.allSettled([store.append([deposit('still', 0, 'c')]), store.heads()])
    server.signal('SIGCONT')
    for (const outcome of outcomes) {
      t.match(outcome, { status: 'rejected', reason: { code: 'UNAVAILABLE', retryable: true } })
    }
    const [again] = await store.append([deposit('still', 0, 'c')])
    t.ok(
      again?.type === 'appended' || again?.type === 'duplicate',
      'the same command id tells what became of it',
    )
    t.strictSame(await store.sequences([{ type: 'bank_account', id: 'still' }]), [1])
  })

  await t.test('a node that freezes in a transaction does not keep its locks', async t => {
    const store = await open()
    const append = deposit('frozen', 0, 'c')
    const frozen = createConnections(checkPostgresOptions({ connectionString }))
    t.teardown(() => frozen.close())
    let release = (): void => {}
    const thawed = new Promise<void>(resolve => {
      release = resolve
    })
    const { promise: isLocked, resolve: locked } = Promise.withResolvers<void>()
    const holding = frozen.run(session =>
      session.transaction(async () => {
        await session.query('select 1 from glyn.partitions where partition = $1 for update', [
          append.partition,
        ])
        locked()
        await thawed
        await session.query('select 1 as one')
      }),
    )
    holding.catch(() => {})
    await isLocked
    t.match(await store.append([append]), [{ type: 'appended' }], 'the other goes on')
    release()
    await t.rejects(holding, { code: 'UNAVAILABLE' }, 'who held it is told that it lost it')
  })

  await t.test('more callers than connections wait for each other', async t => {
    const store = await open({ poolSize: 1, connectTimeoutMs: 60_000 })
    const results = await Promise.all(
      Array.from({ length: 100 }, async (_, number) => {
        await store.heads()
        return (await store.append([deposit(`many-${number}`, 0, 'c')]))[0]?.type
      }),
    )
    t.strictSame(new Set(results), new Set(['appended']))
  })
})
