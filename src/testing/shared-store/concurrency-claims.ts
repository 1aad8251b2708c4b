// Claims about many callers at once: one winner, one outcome per command id, one order that readers can trust.
import type { StoredEvent } from '../../core/record.ts'
import type { Append } from '../../store/shared-store.ts'
import {
  appendTo,
  at,
  BrokenClaim,
  binding,
  expectEqual,
  idsIn,
  key,
  plainResults,
  plainRows,
  readWhole,
  rowsOf,
  type SharedStoreClaim,
} from './claim.ts'

const writers = 8
const rounds = 20

export const concurrencyClaims: readonly SharedStoreClaim[] = [
  {
    name: 'of many appends at one expected sequence one is written, the others are conflicts',
    async check({ open }) {
      const stores = [await open(), await open(), await open()]
      for (let round = 0; round < 20; round += 1) {
        const results = await Promise.all(
          Array.from({ length: 9 }, async (_, number) => {
            const store = stores[number % stores.length]
            return plainResults((await store?.append([appendTo('a', round, `r${round}-${number}`)])) ?? [])[0]
          }),
        )
        expectEqual({
          did: `round ${round}: nine concurrent appends by three store objects, all at expectedSequence ${round}`,
          expected: ['appended', ...Array.from({ length: 8 }, () => `conflict at ${round + 1}`)],
          came: results
            .map(result =>
              result?.type === 'conflict' ? `conflict at ${result.sequence}` : String(result?.type),
            )
            .toSorted(),
          advice:
            'read the sequence and write in one transaction that holds a lock, or let a unique constraint on (aggregate, sequence) decide: this is the fence against two leaders',
        })
      }
      const events = plainRows(await at(stores, 0).readStream(key('a'), { fromSequence: 1, limit: 100 }))
      expectEqual({
        did: 'the same, then readStream',
        expected: Array.from({ length: 20 }, (_, number) => number + 1),
        came: events.map(({ sequence }) => sequence),
        advice: 'sequences have no gap and no double, whoever writes',
      })
    },
  },
  {
    name: 'of many calls with one command id one is written, the others are duplicates of it',
    async check({ open }) {
      const stores = [await open(), await open(), await open()]
      for (let round = 0; round < 20; round += 1) {
        const append = appendTo('a', round * 2, `r${round}`, { events: 2 })
        const results = await Promise.all(
          Array.from({ length: 9 }, async (_, number) =>
            plainResults((await stores[number % stores.length]?.append([append])) ?? []).at(0),
          ),
        )
        const index = results.find(result => result?.type === 'appended')?.index ?? 0
        expectEqual({
          did: `round ${round}: nine concurrent calls by three store objects with the same append`,
          expected: [
            { type: 'appended', index },
            ...Array.from({ length: 8 }, () => ({ type: 'duplicate', events: rowsOf(append, index) })),
          ],
          came: results.toSorted((one, other) => String(one?.type).localeCompare(String(other?.type))),
          advice:
            'a command id that another call wrote meanwhile is a duplicate, not a conflict: look it up again after a constraint refused the append',
        })
      }
    },
  },
  {
    name: 'a reader that follows a partition while many append misses nothing and sees one order',
    async check({ open }) {
      const partition = 2
      const stores = await Promise.all(Array.from({ length: 4 }, () => open()))
      const ids = idsIn(partition, writers * 2)
      const others = [1, 3, 4].flatMap(number => idsIn(number, 3))
      let isOver = false
      const write = async (writer: number): Promise<void> => {
        const store = at(stores, writer)
        for (let round = 0; round < rounds; round += 1) {
          // Calls of all sizes, with other partitions before and behind, and one that is refused.
          const appends: Append[] = [
            appendTo(at(others, writer), round, `r${round}`),
            appendTo(at(ids, writer), round * 2, `r${round}`, { events: 2 }),
            appendTo(at(ids, writer), 10_000, `x${round}`),
            appendTo(at(ids, writer + writers), round, `r${round}`, {
              data: `"${'x'.repeat((round % 5) * 3000)}"`,
            }),
          ]
          await store.append(round % 3 === 0 ? appends : appends.toSpliced(2, 1), {
            isAtomic: round % 3 === 1,
          })
          // A store that never waits would be done before anybody reads.
          await turn()
        }
      }
      const follow = async (reader: number): Promise<StoredEvent[]> => {
        const store = at(stores, reader)
        const seen: StoredEvent[] = []
        for (;;) {
          const wasOver = isOver
          const more = plainRows(
            await store.readLog(partition, { afterIndex: seen.at(-1)?.index ?? 0, limit: 1 + reader * 7 }),
          )
          seen.push(...more)
          if (wasOver && more.length === 0) return seen
          if (more.length === 0) await turn()
        }
      }
      const following = Promise.all([0, 1, 2, 3].map(follow))
      try {
        await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
      } finally {
        isOver = true
        await Promise.allSettled([following])
      }
      const followed = await following
      const did = `${writers} writers with ${rounds} calls each, by four store objects; four readers that follow partition ${partition} by readLog`
      const whole = await readWhole(at(stores, 0), partition)
      expectEqual({
        did: `${did}; the indexes in the end`,
        expected: Array.from({ length: writers * rounds * 2 }, (_, place) => place + 1),
        came: [...new Set(whole.map(({ index }) => index))],
        advice:
          'one entry per append, indexes 1, 2, 3 … : take the index from a row of the partition that is locked until the transaction ends, not from a sequence',
      })
      for (const [reader, seen] of followed.entries()) {
        expectEqual({
          did: `${did}; what reader ${reader} saw, beside what is there in the end`,
          expected: whole,
          came: seen,
          advice:
            'an index may become visible only after all lower ones: when a reader sees 7, no 6 may come later. Appends of one partition must commit in the order of their indexes',
        })
      }
      checkSequences(whole, did)
      expectEqual({
        did: `${did}, then heads()`,
        expected: writers * rounds * 2,
        came: (await at(stores, 0).heads()).get(partition),
        advice: 'heads() tells the last index of each partition',
      })
    },
  },
  {
    name: 'appends to different partitions at once keep apart',
    async check({ open }) {
      const stores = [await open(), await open()]
      const partitions = Array.from({ length: binding.partitions }, (_, number) => number + 1)
      await Promise.all(
        partitions.flatMap(partition =>
          idsIn(partition, 5).map(async (id, number) => {
            for (let round = 0; round < 10; round += 1) {
              await at(stores, number).append([appendTo(id, round, `r${round}`)])
            }
          }),
        ),
      )
      for (const partition of partitions) {
        const rows = await readWhole(at(stores, 0), partition, 7)
        expectEqual({
          did: `20 writers over 4 partitions, 10 appends each; then readLog(${partition})`,
          expected: Array.from({ length: 50 }, (_, place) => place + 1),
          came: rows.map(({ index }) => index),
          advice: 'each partition counts its own indexes from 1',
        })
        checkSequences(rows, `20 writers over 4 partitions; readLog(${partition})`)
      }
    },
  },
]

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** In the order of the log, each aggregate counts 1, 2, 3 … */
function checkSequences(rows: readonly StoredEvent[], did: string): void {
  const last = new Map<string, number>()
  for (const row of rows) {
    const expected = (last.get(row.aggregateId) ?? 0) + 1
    last.set(row.aggregateId, row.sequence)
    if (row.sequence === expected) continue
    throw new BrokenClaim({
      did,
      expected: `sequence ${expected} of ${row.aggregateId} at index ${row.index}`,
      came: `sequence ${row.sequence}`,
      advice: 'the log of a partition holds the events of each aggregate in the order of their sequences',
    })
  }
}
