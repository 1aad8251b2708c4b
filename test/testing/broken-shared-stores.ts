// Shared stores with one mistake each, for the conformance kit to find: what authors get wrong, as wrappers of the one in memory.
import type { AggregateKey } from '../../src/core/command.ts'
import { GlynError } from '../../src/core/errors.ts'
import type { StoredEvent } from '../../src/core/record.ts'
import {
  createMemorySharedStore,
  createSharedMemory,
  type SharedMemory,
} from '../../src/store/memory/memory-shared-store.ts'
import type { Append, AppendResult, SharedStore } from '../../src/store/shared-store.ts'

/** What a mistake changes. `memory` is shared by the store objects of one place, `own` by nobody. */
type Mistake = (store: SharedStore, memory: SharedMemory) => Partial<SharedStore>

export interface BrokenStore {
  readonly mistake: string
  /** The name of a claim that must not hold. */
  readonly claim: RegExp
  /** What the finding must say. */
  readonly says: RegExp
  readonly make: Mistake
}

/** A subject for the kit whose stores all make this mistake. */
export function subjectOf(make: Mistake): { readonly create: (place: string) => SharedStore } {
  const memories = new Map<string, SharedMemory>()
  return {
    create(place) {
      const memory = memories.get(place) ?? createSharedMemory()
      memories.set(place, memory)
      const store = createMemorySharedStore({ memory })
      return { ...store, ...make(store, memory) }
    },
  }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

const mapEvents =
  (change: (event: StoredEvent) => StoredEvent): Mistake =>
  store => ({
    readStream: async (aggregate, range) => (await store.readStream(aggregate, range)).map(change),
    readLog: async (partition, range) => (await store.readLog(partition, range)).map(change),
  })

const mapResults =
  (change: (result: AppendResult, append: Append) => AppendResult): Mistake =>
  store => ({
    append: async (appends, options) =>
      (await store.append(appends, options)).map((result, place) => {
        const append = appends[place]
        return append === undefined ? result : change(result, append)
      }),
  })

const mapKeys =
  (change: (key: AggregateKey) => AggregateKey): Mistake =>
  store => ({
    append: (appends, options) =>
      store.append(
        appends.map(append => ({ ...append, aggregate: change(append.aggregate) })),
        options,
      ),
    readStream: (aggregate, range) => store.readStream(change(aggregate), range),
    sequences: aggregates => store.sequences(aggregates.map(change)),
    readCommand: (aggregate, commandId) => store.readCommand(change(aggregate), commandId),
  })

export const brokenStores: readonly BrokenStore[] = [
  {
    mistake: 'every store object has data of its own',
    claim: /is there for every other store object/,
    says: /no cache may hide it/,
    make: () => createMemorySharedStore(),
  },
  {
    mistake: 'open() does not compare the binding',
    claim: /opening again/,
    says: /CLUSTER_MISMATCH/,
    make: store => ({ open: () => store.open({ scope: 'conformance', partitions: 4 }) }),
  },
  {
    mistake: 'the last cluster that claims the store has it',
    claim: /belongs to the first cluster/,
    says: /write it only where there is none/,
    make: (_store, memory) => ({
      async cluster(claim) {
        memory.cluster = claim ?? memory.cluster
        return memory.cluster
      },
    }),
  },
  {
    mistake: 'of many claims at once each is told that it has won',
    claim: /belongs to the first cluster/,
    says: /in one step/,
    make: (_store, memory) => ({
      async cluster(claim) {
        const found = memory.cluster
        await turn()
        if (found === null && claim !== undefined) memory.cluster = claim
        return found ?? claim ?? null
      },
    }),
  },
  {
    mistake: 'the claim is forgotten with the store object',
    claim: /belongs to the first cluster/,
    says: /keep the id with the data/,
    make() {
      let cluster: string | null = null
      return {
        async cluster(claim) {
          cluster ??= claim ?? null
          return cluster
        },
      }
    },
  },
  {
    mistake: 'close() does not refuse later calls',
    claim: /close is idempotent/,
    says: /after close\(\) every call fails with SHUTTING_DOWN/,
    make: () => ({ close: async () => {} }),
  },
  {
    mistake: 'close() does not come back',
    claim: /a new store is empty/,
    says: /one that does not end/,
    make: () => ({ close: () => new Promise(() => {}) }),
  },
  {
    mistake: 'the location has the password',
    claim: /the location names the store/,
    says: /without the password/,
    make: () => ({ location: 'postgres://bank:secret@db/bank' }),
  },
  {
    mistake: 'expectedSequence is ignored',
    claim: /expects another sequence than the last/,
    says: /compare expectedSequence/,
    make: store => ({
      async append(appends, options) {
        const now = await store.sequences(appends.map(({ aggregate }) => aggregate))
        return store.append(
          appends.map((append, place) => ({ ...append, expectedSequence: now[place] ?? 0 })),
          options,
        )
      },
    }),
  },
  {
    mistake: 'a conflict tells the sequence that was expected',
    claim: /expects another sequence than the last/,
    says: /return the last sequence/,
    make: mapResults((result, append) =>
      result.type === 'conflict' ? { type: 'conflict', sequence: append.expectedSequence } : result,
    ),
  },
  {
    mistake: 'the sequence is read before, and not locked',
    claim: /of many appends at one expected sequence/,
    says: /this is the fence against two leaders/,
    make: store => ({
      async append(appends, options) {
        const before = await store.sequences(appends.map(({ aggregate }) => aggregate))
        const stale = appends.findIndex((append, place) => append.expectedSequence !== before[place])
        await turn()
        if (appends.length > 1 || stale !== -1) return store.append(appends, options)
        const now = await store.sequences(appends.map(({ aggregate }) => aggregate))
        return store.append(
          appends.map((append, place) => ({ ...append, expectedSequence: now[place] ?? 0 })),
          options,
        )
      },
    }),
  },
  {
    mistake: 'a repeated command id is a conflict',
    claim: /a command id that the aggregate has already/,
    says: /look the command id up/,
    make: mapResults(result => (result.type === 'duplicate' ? { type: 'conflict', sequence: 3 } : result)),
  },
  {
    mistake: 'a duplicate comes without its events',
    claim: /a command id that the aggregate has already/,
    says: /number 0 is/,
    make: mapResults(result => (result.type === 'duplicate' ? { type: 'duplicate', events: [] } : result)),
  },
  {
    mistake: 'command ids are unique over all aggregates',
    claim: /a command id that the aggregate has already/,
    says: /unique per aggregate/,
    make: (store, memory) => ({
      async append(appends, options) {
        const known = [...memory.streams.values()].find(({ commands }) =>
          commands.has(appends[0]?.commandId ?? ''),
        )
        const events = known?.commands.get(appends[0]?.commandId ?? '')
        return events !== undefined && appends.length === 1
          ? [{ type: 'duplicate', events }]
          : store.append(appends, options)
      },
    }),
  },
  {
    mistake: 'a command id is looked up before, not beside concurrent calls',
    claim: /of many calls with one command id/,
    says: /is a duplicate, not a conflict/,
    make: store => ({
      async append(appends, options) {
        const known = await Promise.all(
          appends.map(({ aggregate, commandId }) => store.readCommand(aggregate, commandId)),
        )
        await turn()
        const results = await store.append(appends, options)
        return results.map((result, place) =>
          result.type === 'duplicate' && known[place]?.length === 0
            ? { type: 'conflict', sequence: result.events.at(-1)?.sequence ?? 0 }
            : result,
        )
      },
    }),
  },
  {
    mistake: 'one refused append takes the rest of its call with it',
    claim: /in one call some are appended and others refused/,
    says: /takes none of the others with it/,
    make: store => ({
      async append(appends, options) {
        const results: AppendResult[] = []
        let isRefused = false
        for (const append of appends) {
          const came: readonly AppendResult[] = isRefused ? [] : await store.append([append], options)
          const told: AppendResult = came[0] ?? { type: 'conflict', sequence: 0 }
          isRefused ||= told.type === 'conflict'
          results.push(told)
        }
        return results
      },
    }),
  },
  {
    mistake: 'results come in the order of partitions',
    claim: /in one call some are appended and others refused/,
    says: /results\[n\] belongs to appends\[n\]/,
    make: store => ({
      append: async (appends, options) =>
        store.append(
          appends.toSorted((a, b) => a.partition - b.partition),
          options,
        ),
    }),
  },
  {
    mistake: 'isAtomic is ignored',
    claim: /an atomic call of which one is refused/,
    says: /TRANSACTION_ROLLED_BACK/,
    make: store => ({
      append: (appends, options) => store.append(appends, { ...options, isAtomic: false }),
    }),
  },
  {
    mistake: 'an atomic call is checked first and then written one by one',
    claim: /atomic calls that cross each other/,
    says: /all appends of an atomic call are written, or none|atomic calls at once/,
    make: store => ({
      async append(appends, options = {}) {
        if (options.isAtomic !== true || appends.length < 12) return store.append(appends, options)
        for (const append of appends) {
          const [result] = await store.append([append])
          if (result?.type !== 'appended') throw new GlynError('TRANSACTION_ROLLED_BACK', 'rolled back')
          await turn()
        }
        return appends.map((_, index) => ({ type: 'appended', index }))
      },
    }),
  },
  {
    mistake: 'an append does not see those before it in its call',
    claim: /are made in their order, each on top of the one before/,
    says: /judge each append by what those before it in the call have written/,
    make: store => ({
      async append(appends, options) {
        const ids = appends.map(({ aggregate }) => aggregate.id)
        const first = appends.filter(({ aggregate }, place) => ids.indexOf(aggregate.id) === place)
        const told = (await store.append(first, options)).values()
        return appends.map(
          ({ aggregate }, place): AppendResult =>
            (ids.indexOf(aggregate.id) === place ? told.next().value : undefined) ?? {
              type: 'conflict',
              sequence: 0,
            },
        )
      },
    }),
  },
  {
    mistake: 'a command id that was written by the same call is a conflict',
    claim: /a command id twice in one call/,
    says: /an append sees those before it in its call: also their command ids/,
    make: store => ({
      async append(appends, options) {
        const results = await store.append(appends, options)
        const fresh = new Set(results.map(result => (result.type === 'appended' ? result.index : 0)))
        return results.map(result =>
          result.type === 'duplicate' && fresh.has(result.events[0]?.index ?? -1)
            ? { type: 'conflict', sequence: result.events.at(-1)?.sequence ?? 0 }
            : result,
        )
      },
    }),
  },
  {
    mistake: 'an atomic call may hold one append for each aggregate',
    claim: /an atomic call whose appends are all good/,
    says: /isAtomic changes what happens when one is refused, and nothing else|rolled back/,
    make: store => ({
      async append(appends, options = {}) {
        const ids = new Set(appends.map(({ aggregate }) => aggregate.id))
        if (options.isAtomic === true && ids.size < appends.length) {
          throw new GlynError('TRANSACTION_ROLLED_BACK', 'rolled back')
        }
        return store.append(appends, options)
      },
    }),
  },
  {
    mistake: 'appends at once to other partitions get an index of all',
    claim: /appends to different partitions at once keep apart/,
    says: /each partition counts its own indexes from 1/,
    make: store => ({
      async readLog(partition, { afterIndex, limit }) {
        const events = await store.readLog(partition, { afterIndex: Math.floor(afterIndex / 4), limit })
        return events.map(event => ({ ...event, index: event.index * 4 + partition - 1 }))
      },
    }),
  },
  {
    mistake: 'what is no UTF-8 is replaced',
    claim: /a text that cannot be kept is refused/,
    says: /check texts before you write them/,
    make: store => ({
      append: (appends, options) =>
        store.append(
          appends.map(append => ({
            ...append,
            events: append.events.map(event => ({
              ...event,
              data: event.data.toWellFormed().replaceAll('\u0000', ''),
            })),
          })),
          options,
        ),
    }),
  },
  {
    mistake: 'times have 32 bits',
    claim: /big events, many events and far times/,
    says: /53 bits and a sign/,
    make: mapEvents(event => (event.timeMs > 4e12 ? { ...event, timeMs: event.timeMs | 0 } : event)),
  },
  {
    mistake: 'what open() makes is made twice',
    claim: /many that open at once/,
    says: /must be created once/,
    make: (store, memory) => ({
      async open(binding) {
        const isNew = memory.binding === null
        await turn()
        if (isNew) memory.streams.clear()
        await store.open(binding)
      },
      append: (appends, options) =>
        store.append(
          appends.map(append => ({ ...append, aggregate: { ...append.aggregate, id: append.commandId } })),
          options,
        ),
    }),
  },
  {
    mistake: 'a refused append uses up an index',
    claim: /a refused append uses up no index/,
    says: /leaves holes/,
    make: (store, memory) => ({
      async append(appends, options) {
        const results = await store.append(appends, options)
        for (const [place, result] of results.entries()) {
          if (result.type === 'conflict') memory.logs.get(appends[place]?.partition ?? 0)?.push([])
        }
        return results
      },
    }),
  },
  {
    mistake: 'an index is visible before a lower one',
    claim: /a reader that follows a partition/,
    says: /an index may become visible only after all lower ones/,
    make: (store, memory) => {
      const late = new Set<number>()
      return {
        async readLog(partition, range) {
          const events = await store.readLog(partition, range)
          const last = memory.logs.get(partition)?.length ?? 0
          // While others write, this one is committed a moment after its successor.
          const isLate = last < 320 && events.at(-1)?.index === last && !late.has(last - 1)
          if (!isLate) return events
          late.add(last - 1)
          return events.filter(({ index }) => index !== last - 1)
        },
      }
    },
  },
  {
    mistake: 'partitions share one counter of indexes',
    claim: /one call may hold many appends over all partitions/,
    says: /the indexes of a partition follow/,
    make: mapResults((result, append) =>
      result.type === 'appended' ? { type: 'appended', index: result.index * 4 + append.partition } : result,
    ),
  },
  {
    mistake: 'readLog cuts entries at the limit',
    claim: /readLog gives whole entries/,
    says: /never a part of one/,
    make: store => ({
      readLog: async (partition, range) => (await store.readLog(partition, range)).slice(0, range.limit),
    }),
  },
  {
    mistake: 'afterIndex is inclusive',
    claim: /readLog gives whole entries/,
    says: /afterIndex/,
    make: store => ({
      readLog: (partition, { afterIndex, limit }) =>
        store.readLog(partition, { afterIndex: afterIndex - 1, limit }),
    }),
  },
  {
    mistake: 'fromSequence is exclusive',
    claim: /readStream gives the range/,
    says: /fromSequence is the first/,
    make: store => ({
      readStream: (aggregate, { fromSequence, limit }) =>
        store.readStream(aggregate, { fromSequence: Math.max(1, fromSequence) + 1, limit }),
    }),
  },
  {
    mistake: 'data goes through JSON.parse and JSON.stringify',
    claim: /data and metadata come back as the same text/,
    says: /do not parse them, and no jsonb column/,
    make: mapEvents(event => ({ ...event, data: JSON.stringify(JSON.parse(event.data)) })),
  },
  {
    mistake: 'names are compared without their case',
    claim: /names that look alike are different/,
    says: /no case folding|is at expectedSequence 0/,
    make: mapKeys(({ type, id }) => ({ type, id: id.toLowerCase() })),
  },
  {
    mistake: 'names are normalised',
    claim: /names that look alike are different/,
    says: /no Unicode normalisation|is at expectedSequence 0/,
    make: mapKeys(({ type, id }) => ({ type, id: id.normalize() })),
  },
  {
    mistake: 'the type of an aggregate is not part of its key',
    claim: /a command id that the aggregate has already|readStream gives the range/,
    says: /type and id|is at expectedSequence 0/,
    make: mapKeys(({ id }) => ({ type: 'account', id })),
  },
  {
    mistake: 'times are kept in seconds',
    claim: /events get the sequences/,
    says: /every other field is the one that was given/,
    make: mapEvents(event => ({ ...event, timeMs: Math.floor(event.timeMs / 1000) * 1000 })),
  },
  {
    mistake: 'sequences() leaves unknown aggregates out',
    claim: /sequences, readCommand, heads and statistics/,
    says: /0 for unknown ones/,
    make: store => ({
      sequences: async aggregates => (await store.sequences(aggregates)).filter(sequence => sequence > 0),
    }),
  },
  {
    mistake: 'the last snapshot wins, whatever its sequence',
    claim: /of snapshots the one with the highest sequence/,
    says: /replace a snapshot when the new sequence is the same or higher/,
    make: (store, memory) => ({
      async writeSnapshots(snapshots) {
        memory.snapshots.clear()
        await store.writeSnapshots(snapshots)
      },
    }),
  },
  {
    mistake: 'aggregates are ordered as JavaScript orders texts',
    claim: /aggregates are listed by type and id/,
    says: /collate "C"/,
    make: store => ({
      async aggregates({ limit, type, after }) {
        const all = await store.aggregates({ limit: 1000, ...(type !== undefined && { type }) })
        const text = ({ type, id }: AggregateKey): string => `${type}\u0000${id}`
        return all
          .toSorted((a, b) => (text(a) < text(b) ? -1 : 1))
          .filter(one => after === undefined || text(one) > text(after))
          .slice(0, limit)
      },
    }),
  },
  {
    mistake: 'the page after one begins with it',
    claim: /aggregates are listed by type and id/,
    says: /after is exclusive/,
    make: store => ({
      async aggregates(filter) {
        const more = await store.aggregates(filter)
        const [sequence = 0] = filter.after === undefined ? [] : await store.sequences([filter.after])
        return filter.after === undefined
          ? more
          : [{ ...filter.after, sequence }, ...more].slice(0, filter.limit)
      },
    }),
  },
  {
    mistake: 'the signal is not looked at',
    claim: /a call whose signal is aborted/,
    says: /throwIfAborted/,
    make: store => ({
      append: (appends, { isAtomic = false } = {}) => store.append(appends, { isAtomic }),
    }),
  },
  {
    mistake: 'nonsense is written',
    claim: /what makes no sense is refused/,
    says: /check the whole call before you write any of it/,
    make: store => ({
      append: (appends, options) =>
        store.append(
          appends.filter(({ events }) => events.length > 0),
          options,
        ),
    }),
  },
  {
    mistake: 'a call fails with an error of the database',
    claim: /sequences, readCommand, heads and statistics/,
    says: /relation does not exist/,
    make: () => ({
      heads: async () => {
        throw new Error('relation does not exist')
      },
    }),
  },
]
