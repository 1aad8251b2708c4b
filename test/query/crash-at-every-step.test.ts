// G4 with dead letters: whichever statement of SQLite is the last one before a crash, and however many of the newest commits
// it takes along, each event is counted exactly once or parked, and in the end each is counted exactly once.
import Sqlite, { type Database } from 'better-sqlite3'
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import type { ParkedList, ParkedOutcome } from '../../src/query/parked-operations.ts'
import { createQueryHost, type QueryHost } from '../../src/query/query-host.ts'
import { createMemorySource, type MemorySource } from './memory-source.ts'
import { until } from './with-host.ts'

/** Ten entries of five aggregates; `bad` fails at its first, `worse` in the middle of an entry. */
function createHistory(): MemorySource {
  const source = createMemorySource()
  const pay = (amount: number) => ['Paid', { amount }] as const
  const poison = ['Poisoned', {}] as const
  source.append(1, { id: 'a', events: [pay(1)] })
  source.append(1, { id: 'bad', events: [poison] })
  source.append(1, { id: 'bad', events: [pay(2), pay(3)] })
  source.appendNoop(1)
  source.append(1, { id: 'a', events: [pay(4)] })
  source.append(1, { id: 'bad', events: [pay(5)] })
  source.append(2, { id: 'b', events: [pay(6), pay(7)] })
  source.append(2, { id: 'worse', events: [pay(8), poison] })
  source.append(2, { id: 'worse', events: [pay(9)] })
  source.append(2, { id: 'b', events: [pay(10)] })
  return source
}

/** A disk that survives: what its databases looked like after each commit, the newest last. */
interface Disk {
  readonly commits: Buffer[]
  /** Statements until the crash. */
  left: number
  isDead: boolean
  onDeath: () => void
}

const commitsKept = 4

function connectTo(disk: Disk): Database {
  const db = new Sqlite(disk.commits.at(-1) ?? ':memory:')
  const prepare = db.prepare.bind(db)
  const step = (): void => {
    if (!disk.isDead && disk.left > 0) {
      disk.left -= 1
      return
    }
    if (!disk.isDead) {
      disk.isDead = true
      disk.onDeath()
    }
    throw new Error('the process has crashed')
  }
  db.prepare = ((source: string) => {
    const statement = prepare(source)
    for (const name of ['run', 'get', 'all'] as const) {
      const call = (statement[name] as (...values: unknown[]) => unknown).bind(statement)
      Object.defineProperty(statement, name, {
        configurable: true,
        writable: true,
        value: (...values: unknown[]) => {
          step()
          const wasOpen = db.inTransaction
          const result = call(...values)
          if (!db.inTransaction && (wasOpen || !statement.readonly)) {
            disk.commits.push(db.serialize())
            if (disk.commits.length > commitsKept) disk.commits.shift()
          }
          return result
        },
      })
    }
    return statement
  }) as Database['prepare']
  return db
}

/** A life of the process: it ends when the disk dies, or when the work is done. */
async function live(
  disk: Disk,
  source: MemorySource,
  work: (host: QueryHost, isOver: () => boolean) => Promise<void>,
): Promise<void> {
  const query = defineQuery({
    name: 'seen',
    onError: 'park',
    attempts: 2,
    init(db) {
      db.exec('create table if not exists seen (id text primary key, times integer, place integer)')
    },
    handle(_id, events, { db }) {
      for (const event of events) {
        if (event.type === 'Poisoned' && !mended.has(source)) throw new Error('poison')
        db.prepare(`insert into seen values (?, 1, (select count(*) from seen))
          on conflict do update set times = times + 1`).run(event.id)
      }
    },
    answer: { all: db => db.prepare('select id, times from seen order by place').all() },
  })
  const host = createQueryHost({
    queries: [query],
    dataDirectory: '/simulated',
    connect: () => connectTo(disk),
    source,
    clock: systemClock,
    log: silentLog,
    limits: { batchEventsMax: 3, backoffMsMin: 1, backoffMsMax: 2, loadBackoffMs: 1 },
  })
  const death = new Promise<void>(resolve => {
    disk.onDeath = resolve
  })
  await Promise.race([death, host.start().then(() => work(host, () => disk.isDead))])
  await host.close()
}

/** Sources whose poison is none any more. */
const mended = new WeakSet<MemorySource>()

const options = { timeoutMs: 60_000 } as const
const rowsOf = async (host: QueryHost) =>
  (await host.ask('seen', 'all', {}, options)) as { readonly id: string; readonly times: number }[]
const parkedIn = async (host: QueryHost) =>
  (await host.ask('seen', 'parked', { limit: 100 }, { ...options, kind: 'parked' })) as ParkedList
const retryAll = async (host: QueryHost) =>
  (await host.ask('seen', 'retry', { all: true }, { ...options, kind: 'retry' })) as ParkedOutcome
const caughtUp = (host: QueryHost, isOver: () => boolean = () => false) =>
  until(() => isOver() || (host.status()[0]?.lag === 0 && host.status()[0]?.state === 'running'), {
    see: host.status,
  })

/** Catches up, then poison becomes none and everything is handled again. */
async function wholeLife(host: QueryHost, source: MemorySource, isOver: () => boolean): Promise<void> {
  await caughtUp(host, isOver)
  if (isOver()) return
  mended.add(source)
  await retryAll(host)
}

const ordered = (ids: readonly string[], id: string): readonly string[] =>
  ids.filter(found => found.startsWith(`bank_account/${id}/`))

interface Judge {
  strictSame(found: unknown, wanted: unknown, what: string): boolean
}

async function checkAll(t: Judge, host: QueryHost, where: string) {
  const rows = await rowsOf(host)
  t.strictSame(
    rows.filter(({ times }) => times !== 1),
    [],
    `${where}: none is counted twice`,
  )
  const source = createHistory()
  for (const id of ['a', 'b', 'bad', 'worse']) {
    t.strictSame(
      ordered(
        rows.map(row => row.id),
        id,
      ),
      ordered(
        source.all().map(event => `${event.aggregateType}/${event.aggregateId}/${event.sequence}`),
        id,
      ),
      `${where}: the events of ${id}, each once, in order`,
    )
  }
}

t.test('a crash at every step', { timeout: 300_000 }, async t => {
  const whole: Disk = { commits: [], left: 1e9, isDead: false, onDeath: () => {} }
  const first = createHistory()
  await live(whole, first, async host => {
    await caughtUp(host)
    t.strictSame(
      (await rowsOf(host)).map(({ id }) => id).sort(),
      [1, 2].map(n => `bank_account/a/${n}`).concat([1, 2, 3].map(n => `bank_account/b/${n}`)),
    )
    t.match(await parkedIn(host), { counts: { failed: 2, held: 3 } })
    mended.add(first)
    t.match(await retryAll(host), { handled: 5, failed: [] })
    await checkAll(t, host, 'without a crash')
  })
  const steps = 1e9 - whole.left
  t.ok(steps > 100, `${steps} steps`)

  const failures: string[] = []
  const judge: Judge = {
    strictSame(found, wanted, what) {
      if (JSON.stringify(found) === JSON.stringify(wanted)) return true
      failures.push(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`)
      return false
    },
  }
  for (let step = 0; step < steps; step += 1) {
    const source = createHistory()
    const disk: Disk = { commits: [], left: step, isDead: false, onDeath: () => {} }
    await live(disk, source, (host, isOver) => wholeLife(host, source, isOver))
    // Read models are not fsynced: the power may take the newest commits along.
    const lost = Math.min(step % 3, disk.commits.length)
    disk.commits.splice(disk.commits.length - lost, lost)
    const again: Disk = { commits: disk.commits, left: 1e9, isDead: false, onDeath: () => {} }
    await live(again, source, async host => {
      await caughtUp(host)
      if (!mended.has(source)) {
        const seen = (await rowsOf(host)).map(({ id }) => id)
        const parked = (await parkedIn(host)).entries.flatMap(({ events }) => events.map(({ id }) => id))
        const all = source.all().map(event => `bank_account/${event.aggregateId}/${event.sequence}`)
        judge.strictSame(
          [...seen, ...parked].sort(),
          [...all].sort(),
          `step ${step}: counted once or parked once`,
        )
      }
      mended.add(source)
      await retryAll(host)
      await checkAll(judge, host, `step ${step}, ${lost} commits lost`)
      const { counts } = await parkedIn(host)
      judge.strictSame(counts, { failed: 0, held: 0 }, `step ${step}: nothing stays parked`)
    })
  }
  t.strictSame(failures, [])
})
