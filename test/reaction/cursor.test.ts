// What one reaction reads ahead: so many rows, and of large ones fewer; and nothing is left out or cut in two.
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import type { StoredEvent } from '../../src/core/record.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { createCursor } from '../../src/reaction/cursor.ts'
import type { ReactionEnvironment } from '../../src/reaction/reaction.ts'
import { eventually } from '../node/memory-cluster.ts'

/** Of one event and of two, in turn: entry 1 has one. */
function eventsOf(entries: number, charactersOf: (index: number) => number): readonly StoredEvent[] {
  const rows: StoredEvent[] = []
  for (let index = 1; index <= entries; index += 1) {
    const data = JSON.stringify('x'.repeat(charactersOf(index)))
    for (let offset = 0; offset <= (index + 1) % 2; offset += 1)
      rows.push({ index, offset, sequence: rows.length + 1, data, metadata: '{}' } as StoredEvent)
  }
  return rows
}

function follow(rows: readonly StoredEvent[]) {
  const reads: { readonly limit: number; readonly performed: number }[] = []
  const performed: number[] = []
  const positions: number[] = []
  const over = new AbortController()
  const commitIndex = rows.at(-1)?.index ?? 0
  const cursor = createCursor({
    reaction: {
      key: 'handler/x',
      startFrom: 'beginning',
      lanesMax: 1,
      laneOf: () => '',
      perform({ sequence }) {
        performed.push(sequence)
        return undefined
      },
      afterFailure: () => 'retry',
    },
    partition: 1,
    environment: {
      clock: systemClock,
      log: silentLog,
      store: {
        // Whole entries, as stores read them.
        readPartition(_partition: number, { afterIndex, limit }: { afterIndex: number; limit: number }) {
          reads.push({ limit, performed: performed.length })
          const rest = rows.filter(({ index }) => index > afterIndex)
          const last = rest[limit - 1]?.index ?? commitIndex
          const isCut = rest[limit]?.index === last
          const through = isCut && rest[0]?.index !== last ? last - 1 : last
          return rest.filter(({ index }) => index <= through)
        },
      },
    } as unknown as ReactionEnvironment,
    position: 0,
    commitIndex: () => commitIndex,
    signal: over.signal,
    onProgress: position => void positions.push(position),
  })
  cursor.advance()
  return { cursor, reads, performed, positions, commitIndex, over }
}

t.test('large events are read a few at a time, and small ones many again', async t => {
  // Of 1.5 events an entry: 30 entries of 500 kB, and then 400 that are small.
  const rows = eventsOf(430, index => (index <= 30 ? 500_000 : 10))
  const { cursor, reads, performed, positions, commitIndex, over } = follow(rows)
  t.teardown(() => over.abort())
  await eventually(() => cursor.status().position === commitIndex, 'all is done')
  t.strictSame(
    performed,
    rows.map(({ sequence }) => sequence),
  )
  t.strictSame(
    positions,
    positions.toSorted((a, b) => a - b),
  )
  const [, second] = reads
  t.ok((second?.performed ?? 0) <= 6, `${second?.performed} large events are one page`)
  t.ok((second?.limit ?? 0) <= 6, `the next read asks for ${second?.limit}`)
  t.equal(reads.at(-1)?.limit, 200)
})
