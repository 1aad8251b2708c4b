// `onError: 'park'`: what fails for good is put aside with the checkpoint, what belongs behind it waits, the rest goes on.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { ParkedList, ParkedOutcome } from '../../src/query/parked-operations.ts'
import { createMemorySource } from './memory-source.ts'
import { countingQuery, directoryOf, type Given, type Running, until, withHost } from './with-host.ts'

const deposit = (amount: number) => ['CustomerDepositedCash', { amount }] as const
const options = { timeoutMs: 60_000 } as const

interface Parking extends Running {
  readonly flag: string
  parked(limit?: number): Promise<ParkedList>
  retry(selection: { all: true } | { of: string }): Promise<ParkedOutcome>
  drop(selection: { all: true } | { of: string }): Promise<ParkedOutcome>
  /** Ids of the events it counted, in the order in which they came. */
  ids(): Promise<readonly string[]>
  /** From now on the poison is none. */
  mend(): void
}

/** Fails at amount 13 with `poison`, until it is mended. */
async function withParking(
  t: Test,
  {
    poison = `throw new Error('not thirteen')`,
    settings = 'attempts: 3',
    ...given
  }: Given & { readonly poison?: string; readonly settings?: string } = {},
): Promise<Parking> {
  const directory = given.directory ?? directoryOf(t)
  const flag = join(directory, 'mended')
  const file = countingQuery(
    'count',
    `if (event.data.amount === 13 && !existsSync(${JSON.stringify(flag)})) { ${poison} }`,
  ).replace("name: 'count',", `name: 'count', onError: 'park', ${settings},`)
  const running = await withHost(t, {
    ...given,
    directory,
    files: { 'count.ts': `import { existsSync } from 'node:fs'\n${file}` },
    limits: { backoffMsMin: 5, backoffMsMax: 20, ...given.limits },
  })
  const { host } = running
  const about = (kind: 'parked' | 'retry' | 'drop', parameters: Readonly<Record<string, unknown>>) =>
    host.ask('count', kind, parameters, { ...options, kind })
  return {
    ...running,
    flag,
    parked: async (limit = 100) => (await about('parked', { limit })) as ParkedList,
    retry: async selection => (await about('retry', selection)) as ParkedOutcome,
    drop: async selection => (await about('drop', selection)) as ParkedOutcome,
    ids: async () => (await host.ask('count', 'ids', {}, options)) as readonly string[],
    mend: () => writeFileSync(flag, ''),
  }
}

/** Its thread says how far it is and then what is parked: both are known when it has answered. */
const isDone = async ({ host, status }: Running): Promise<void> => {
  await until(() => status('count').lag === 0, { see: () => status('count') })
  await host.ask('count', 'count', {}, options)
}
const names = ({ entries }: ParkedList) => entries.map(({ entry, state }) => `${entry} ${state}`)

t.test(
  'a failing entry is parked after its attempts; its aggregate waits behind it, others go on',
  async t => {
    const parking = await withParking(t)
    const { source, status, lines } = parking
    for (const [id, amount] of [
      ['a', 1],
      ['bad', 13],
      ['a', 2],
      ['bad', 3],
      ['b', 4],
      ['bad', 5],
    ] as const) {
      source.append(1, { id, events: [deposit(amount)] })
    }
    await isDone(parking)
    t.match(status('count'), { state: 'running', positions: { 1: 6 }, parked: 1, held: 2 })
    t.strictSame(await parking.ids(), ['bank_account/a/1', 'bank_account/a/2', 'bank_account/b/1'])
    t.match(await parking.parked(), {
      counts: { failed: 1, held: 2 },
      entries: [
        {
          entry: '1:2',
          aggregate: { type: 'bank_account', id: 'bad' },
          events: [{ id: 'bank_account/bad/1', type: 'CustomerDepositedCash' }],
          state: 'failed',
          message: 'not thirteen',
          stack: /count\.ts/,
          attempts: 3,
          time: /^\d{4}-.*Z$/,
        },
        { entry: '1:4', state: 'held', message: null, attempts: 0 },
        { entry: '1:6', state: 'held' },
      ],
    })
    t.equal((await parking.parked(1)).entries.length, 1, 'no more than asked for')
    const text = 'query count: 1:2 of bank_account bad is parked after 3 attempts: not thirteen'
    t.ok(lines.some(({ level, message }) => level === 'error' && message === text))

    t.match(await parking.retry({ of: 'bad' }), {
      handled: 0,
      failed: [{ entry: '1:2', aggregate: { id: 'bad' }, message: 'not thirteen' }],
      counts: { failed: 1, held: 2 },
    })
    t.match((await parking.parked()).entries[0], { attempts: 4 }, 'one attempt more')

    parking.mend()
    t.match(await parking.retry({ of: 'bad' }), { handled: 3, failed: [], counts: { failed: 0, held: 0 } })
    source.append(1, { id: 'bad', events: [deposit(6)] })
    await isDone(parking)
    t.match(status('count'), { parked: 0, held: 0 })
    t.strictSame(
      (await parking.ids()).slice(3),
      [1, 2, 3, 4].map(sequence => `bank_account/bad/${sequence}`),
      'in order, and the aggregate goes on normally',
    )
  },
)

t.test('afterParked: handle goes on with later events, and each entry can be retried alone', async t => {
  const parking = await withParking(t, { settings: `attempts: 1, afterParked: 'handle'` })
  for (const amount of [13, 1, 13, 2]) parking.source.append(1, { id: 'bad', events: [deposit(amount)] })
  await isDone(parking)
  t.strictSame(names(await parking.parked()), ['1:1 failed', '1:3 failed'])
  t.strictSame(await parking.ids(), ['bank_account/bad/2', 'bank_account/bad/4'])
  parking.mend()
  t.match(await parking.retry({ of: '1:3' }), { handled: 1, counts: { failed: 1, held: 0 } })
  t.match(await parking.retry({ all: true }), { handled: 1, counts: { failed: 0, held: 0 } })
  t.strictSame((await parking.ids()).slice(2), ['bank_account/bad/3', 'bank_account/bad/1'])
})

t.test('drop: one entry, and those behind it follow; an aggregate; all', async t => {
  const parking = await withParking(t)
  const { source } = parking
  for (const id of ['x', 'y', 'z']) {
    for (const amount of [13, 1]) source.append(1, { id, events: [deposit(amount)] })
  }
  await isDone(parking)
  t.match(await parking.drop({ of: '1:1' }), { dropped: 1, handled: 1, counts: { failed: 2, held: 2 } })
  t.strictSame(await parking.ids(), ['bank_account/x/2'])
  t.match(await parking.drop({ of: 'bank_account/y' }), {
    dropped: 2,
    handled: 0,
    counts: { failed: 1, held: 1 },
  })
  t.match(await parking.drop({ all: true }), { dropped: 2, handled: 0, counts: { failed: 0, held: 0 } })
  for (const id of ['x', 'y', 'z']) source.append(1, { id, events: [deposit(2)] })
  await isDone(parking)
  t.strictSame(
    (await parking.ids()).slice(1),
    ['x', 'y', 'z'].map(id => `bank_account/${id}/3`),
  )
})

t.test('what is not parked, or held behind another, is refused by name', async t => {
  const parking = await withParking(t)
  const { source } = parking
  for (const amount of [13, 1]) source.append(1, { id: 'bad', events: [deposit(amount)] })
  source.append(1, { id: 'bad', type: 'other', events: [deposit(13)] })
  await isDone(parking)
  await t.rejects(parking.retry({ of: 'acc-9' }), {
    code: 'ENTITY_NOT_FOUND',
    message: /^query count has nothing parked under "acc-9"; allowed: .*queries parked count/,
  })
  await t.rejects(parking.drop({ of: '1:9' }), { code: 'ENTITY_NOT_FOUND' })
  await t.rejects(parking.retry({ of: '1:2' }), {
    code: 'INVALID_ARGUMENT',
    message: '1:2 is held behind 1:1 of the same aggregate; retry that one',
  })
  await t.rejects(parking.retry({ of: 'bad' }), {
    code: 'INVALID_ARGUMENT',
    message: 'bad may be any of bank_account/bad, other/bad; name its type too',
  })
  parking.mend()
  t.match(await parking.retry({ of: 'other/bad' }), { handled: 1 })
})

t.test('an entry is parked as a whole, and only with what the filter lets through', async t => {
  const parking = await withParking(t, {
    settings: `attempts: 1, filter: { eventTypes: ['CustomerDepositedCash'] }`,
  })
  const { source } = parking
  source.append(1, { id: 'a', events: [deposit(1)] })
  source.append(1, { id: 'a', events: [deposit(2), ['Other', { amount: 0 }], deposit(13)] })
  source.append(1, { id: 'a', events: [['Other', { amount: 0 }]] })
  await isDone(parking)
  t.strictSame(await parking.ids(), ['bank_account/a/1'], 'what came before it in its batch is kept')
  t.match(await parking.parked(), {
    counts: { failed: 1, held: 0 },
    entries: [{ entry: '1:2', events: [{ id: 'bank_account/a/2' }, { id: 'bank_account/a/4' }] }],
  })
  parking.mend()
  t.match(await parking.retry({ all: true }), { handled: 1 })
  t.strictSame(
    await parking.ids(),
    [1, 2, 4].map(sequence => `bank_account/a/${sequence}`),
  )
})

for (const [what, poison, message] of [
  ['loops for ever', 'for (;;) {}', 'its handler did not return within 1000 ms'],
  ['ends its thread', 'process.exit(3)', 'its thread ended with code 3'],
  [
    'eats memory',
    'const all = []; for (;;) all.push(new Array(100_000).fill({ x: Math.random() }))',
    'Worker terminated due to reaching memory limit: JS heap out of memory',
  ],
] as const) {
  t.test(`a handler that ${what} is parked after its attempts, from the middle of a batch`, async t => {
    const parking = await withParking(t, {
      poison,
      settings: 'attempts: 2',
      limits: { batchMsMax: what === 'loops for ever' ? 1000 : 20_000, heapMbMax: 48 },
    })
    const { source, status, lines } = parking
    for (let i = 0; i < 40; i += 1) {
      source.append(1, { id: `acc-${i}`, events: [deposit(i === 30 ? 13 : 0)] })
      source.append(2, { id: `other-${i}`, events: [deposit(0)] })
    }
    await isDone(parking)
    t.match(await parking.parked(), {
      counts: { failed: 1, held: 0 },
      entries: [{ entry: '1:31', message, attempts: 2 }],
    })
    t.equal((await parking.ids()).length, 79, 'everything else is counted')
    const restarts = lines.filter(line => /thread is started again/.test(line.message)).length
    t.ok(restarts <= 3, `its thread was ended ${restarts} times: once in a batch, twice alone`)
    t.equal(status('count').state, 'running')
    if (what !== 'ends its thread') return

    // Handled again it ends the thread again: the call says so, and nothing is called in circles afterwards.
    await t.rejects(parking.retry({ all: true }), { code: 'QUERY_FAILED', message: new RegExp(message) })
    t.match(await parking.parked(), {
      counts: { failed: 1 },
      entries: [{ attempts: 3, message: 'the thread ended while it was handled again' }],
    })
    parking.mend()
    t.match(await parking.retry({ all: true }), { handled: 1, counts: { failed: 0 } })
    t.equal((await parking.ids()).length, 80)
  })
}

t.test('dead letters rest in the read model: a restart keeps them, new code begins without', async t => {
  const first = await withParking(t)
  for (const amount of [13, 1]) first.source.append(1, { id: 'bad', events: [deposit(amount)] })
  await isDone(first)
  await first.host.close()

  const { directory, source } = first
  const again = await withParking(t, { directory, source })
  await isDone(again)
  t.match(again.status('count'), { parked: 1, held: 1, positions: { 1: 2 } })
  await again.host.close()

  const changed = await withParking(t, { directory, source, settings: 'attempts: 2' })
  await isDone(changed)
  t.match(await changed.parked(), { counts: { failed: 1, held: 1 }, entries: [{ attempts: 2 }] })
})

t.test(
  'a partition that would park more than is kept waits, says so, and goes on when there is room',
  async t => {
    const parking = await withParking(t, { settings: 'attempts: 1', limits: { parkedMax: 2 } })
    const { source, status } = parking
    source.append(1, { id: 'bad', events: [deposit(13)] })
    for (let i = 0; i < 3; i += 1) source.append(1, { id: 'bad', events: [deposit(i)] })
    source.append(2, { id: 'other', events: [deposit(1)] })
    await until(
      () => /2 entries are parked, the most that is kept/.test(status('count').lastError?.message ?? ''),
      {
        see: () => status('count'),
      },
    )
    await until(() => status('count').positions[2] === 1)
    t.match(status('count'), {
      state: 'retrying',
      positions: { 1: 2 },
      lag: 2,
      parked: 1,
      held: 1,
    })
    parking.mend()
    t.match(await parking.retry({ all: true }), { failed: [] })
    await isDone(parking)
    t.strictSame(await parking.ids(), [
      'bank_account/other/1',
      ...[1, 2, 3, 4].map(sequence => `bank_account/bad/${sequence}`),
    ])
  },
)

t.test('a full disk parks nothing: it is tried again until there is room', async t => {
  const parking = await withParking(t, {
    settings: 'attempts: 1',
    poison: `db.pragma('max_page_count = 40'); db.prepare('insert into seen values (?, 1, 0)').run('x'.repeat(1e6))`,
  })
  const { source, status, lines } = parking
  for (const amount of [1, 13, 2]) source.append(1, { id: 'a', events: [deposit(amount)] })
  const isFull = (text: string): boolean => /disk is full/.test(text)
  await until(() => lines.filter(({ message }) => isFull(message)).length >= 3, {
    see: () => status('count'),
  })
  t.match(status('count'), { state: 'retrying', parked: 0, held: 0, lastError: { message: /disk is full/ } })
  parking.mend()
  await isDone(parking)
  t.equal((await parking.ids()).length, 3)
})

t.test('entries that the filter keeps out are not taken for the one that failed', async t => {
  const source = createMemorySource()
  const other = ['CustomerOpened', { amount: 1 }] as const
  source.append(1, { id: 'a', events: [other] })
  source.append(1, { id: 'b', events: [other] })
  source.append(1, { id: 'bad', events: [deposit(13)] })
  source.append(1, { id: 'a', events: [deposit(1)] })
  const settings = `attempts: 1, filter: { eventTypes: ['CustomerDepositedCash'] }`
  const parking = await withParking(t, { source, settings })
  await isDone(parking)
  t.match(parking.status('count'), { parked: 1, held: 0 })
  t.match(await parking.parked(), { entries: [{ entry: '1:3', attempts: 1 }] })
  const told = parking.lines.filter(({ message }) => /is parked/.test(message)).map(({ message }) => message)
  t.strictSame(told, ['query count: 1:3 of bank_account bad is parked after 1 attempts: not thirteen'])
})

t.test('what is held in the same batch as it is forgotten is forgotten', async t => {
  const parking = await withParking(t)
  const { source, directory } = parking
  source.append(1, { id: 'bad', events: [deposit(13)] })
  for (let n = 0; n < 20; n += 1) source.append(1, { id: 'b', events: [deposit(1)] })
  await isDone(parking)
  // A node whose log is ahead of its keys can still open what is to be forgotten.
  source.append(1, { id: 'bad', key: 'k', events: [['Noted', { amount: 0, text: 'secret' }]] })
  source.append(1, { id: 'bad', events: [['glyn.Forgotten', { type: null, key: 'k' }]] })
  await isDone(parking)
  t.match(await parking.parked(), { counts: { failed: 1, held: 2 } })
  const database = new Database(join(directory, 'data', 'queries', 'count.db'), { readonly: true })
  const rows = JSON.stringify(database.prepare('select * from glyn_parked').all())
  database.close()
  t.notMatch(rows, /secret/)
})
