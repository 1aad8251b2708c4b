// Claims about opening, closing and coming back.
import {
  appendTo,
  binding,
  expectEqual,
  expectError,
  key,
  mustAppend,
  plainResults,
  plainRows,
  rowsOf,
  type SharedStoreClaim,
} from './claim.ts'

export const lifeClaims: readonly SharedStoreClaim[] = [
  {
    name: 'a new store is empty',
    async check({ open }) {
      const store = await open()
      const did = 'open a store on a name that was never used'
      const advice = 'a name that create() has not seen has no data; check that create() uses the name'
      expectEqual({ did, advice, expected: new Map(), came: await store.heads() })
      expectEqual({ did, advice, expected: [], came: await store.aggregates({ limit: 10 }) })
      const { events, aggregates } = await store.statistics()
      expectEqual({ did, advice, expected: { events: 0, aggregates: 0 }, came: { events, aggregates } })
      expectEqual({
        did: `${did}, then readLog(1)`,
        advice,
        expected: [],
        came: [...(await store.readLog(1, { afterIndex: 0, limit: 10 }))],
      })
    },
  },
  {
    name: 'opening again with the same binding is harmless, with another it is refused',
    async check({ open, unopened }) {
      const store = await open()
      await store.open(binding)
      await mustAppend(store, appendTo('a', 0, 'c1'))
      const advice =
        'keep scope and partitions of the first open with the data, and compare: CLUSTER_MISMATCH'
      for (const wrong of [
        { ...binding, scope: 'another' },
        { ...binding, partitions: binding.partitions + 1 },
      ]) {
        const other = await unopened()
        await expectError({
          did: `open(${JSON.stringify(wrong)}) after open(${JSON.stringify(binding)})`,
          code: 'CLUSTER_MISMATCH',
          call: () => other.open(wrong),
          advice,
        })
      }
      const [sequence] = await (await open()).sequences([key('a')])
      expectEqual({
        did: 'open() of another object after those that were refused, then sequences()',
        expected: 1,
        came: sequence,
        advice: 'a refused open changes nothing',
      })
    },
  },
  {
    name: 'a store belongs to the first cluster that claims it, for ever',
    async check({ open }) {
      const store = await open()
      const told = async (did: string, expected: unknown, call: () => Promise<unknown>): Promise<void> =>
        expectEqual({
          did,
          expected,
          came: await call(),
          advice:
            'keep the id with the data: write it only where there is none, in one step, and answer with the one that is there then; null when there is none',
        })
      await told('cluster() of a store that nobody has claimed', null, () => store.cluster())
      const ids = Array.from({ length: 6 }, (_, number) => `cluster-${number}`)
      const stores = await Promise.all(ids.map(() => open()))
      const answers = await Promise.all(stores.map((other, number) => other.cluster(ids[number])))
      const winner = answers.find(id => id !== null && ids.includes(id)) ?? ids[0]
      const all = ids.map(() => winner)
      await told('six store objects, each claims for another cluster at once', all, async () => answers)
      await told('cluster("late") after that', winner, () => store.cluster('late'))
      await told('cluster() of another object after that', winner, async () => (await open()).cluster())
      await Promise.all([store, ...stores].map(other => other.close()))
      await told('all were closed, a new one is opened: cluster()', winner, async () =>
        (await open()).cluster(),
      )
    },
  },
  {
    name: 'many that open at once all succeed',
    async check({ open }) {
      const stores = await Promise.all(Array.from({ length: 6 }, () => open()))
      const results = await Promise.all(
        stores.map((store, number) => store.append([appendTo('a', 0, `c${number}`)])),
      )
      expectEqual({
        did: 'six store objects that open an empty place at once, each then appends at expectedSequence 0',
        expected: 1,
        came: results.filter(([result]) => result?.type === 'appended').length,
        advice: 'what open() creates must be created once, whoever comes first; the others wait or use it',
      })
    },
  },
  {
    name: 'what was appended is there for every other store object, and after all were closed',
    async check({ open }) {
      const store = await open()
      const reader = await open()
      const append = appendTo('a', 0, 'c1', { events: 3 })
      const index = await mustAppend(store, append)
      const read = async (from: typeof store) =>
        plainRows(await from.readStream(key('a'), { fromSequence: 1, limit: 10 }))
      expectEqual({
        did: 'append 3 events with one store object, readStream with another that was open before',
        expected: rowsOf(append, index),
        came: await read(reader),
        advice: 'an append that was acknowledged is seen by everybody at once: no cache may hide it',
      })
      await store.close()
      await reader.close()
      expectEqual({
        did: 'append 3 events, close every store object, open a new one, readStream',
        expected: rowsOf(append, index),
        came: await read(await open()),
        advice: 'write before append() resolves, and keep the data when a store object is closed',
      })
    },
  },
  {
    name: 'close is idempotent, waits for what is under way, and refuses what comes later',
    async check({ open }) {
      const store = await open()
      const other = await open()
      const results: string[] = []
      const running = Array.from({ length: 20 }, async (_, number) => {
        const [result] = await store.append([appendTo(`a${number}`, 0, 'c')])
        results.push(String(result?.type))
      })
      await Promise.all([store.close(), store.close()])
      await Promise.all(running)
      await store.close()
      expectEqual({
        did: '20 appends under way, then close() twice at once and once more',
        expected: Array.from({ length: 20 }, () => 'appended'),
        came: results,
        advice:
          'close() resolves after the calls that came before it; a second close() resolves as the first',
      })
      const advice = 'after close() every call fails with SHUTTING_DOWN'
      for (const [did, call] of [
        ['cluster', () => store.cluster()],
        ['append', () => store.append([appendTo('b', 0, 'c')])],
        ['readStream', () => store.readStream(key('a1'), { fromSequence: 1, limit: 1 })],
        ['sequences', () => store.sequences([key('a1')])],
        ['readCommand', () => store.readCommand(key('a1'), 'c')],
        ['readLog', () => store.readLog(1, { afterIndex: 0, limit: 1 })],
        ['heads', () => store.heads()],
        ['latestSnapshot', () => store.latestSnapshot(key('a1'))],
        ['writeSnapshots', () => store.writeSnapshots([])],
        ['aggregates', () => store.aggregates({ limit: 1 })],
        ['statistics', () => store.statistics()],
      ] as const) {
        await expectError({ did: `close(), then ${did}()`, code: 'SHUTTING_DOWN', call, advice })
      }
      expectEqual({
        did: 'close() of one store object, then append() with another on the same data',
        expected: [{ type: 'appended' }],
        came: plainResults(await other.append([appendTo('b', 0, 'c')])).map(({ type }) => ({ type })),
        advice: 'each node closes its own store object; others go on',
      })
    },
  },
  {
    name: 'the location names the store and has no secret',
    async check({ unopened }) {
      const { location } = await unopened()
      const isFine = typeof location === 'string' && location !== '' && !/:[^/@]*@/.test(location)
      expectEqual({
        did: 'read location',
        expected: 'a text that is not empty and has no `user:password@`',
        came: isFine ? 'a text that is not empty and has no `user:password@`' : location,
        advice: 'location is shown in logs and errors: host, port and database, without the password',
      })
    },
  },
]
