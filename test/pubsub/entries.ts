// Entries as tests of this folder need them.
import type { Entry } from '../../src/raft/entry.ts'
import { encodeRecord } from '../../src/store/record-codec.ts'

/** A command entry of one event `Added { n: index }` of the counter `c`; `bytes` of padding make it larger. */
export function entryAt(index: number, bytes = 0): Entry {
  const data = JSON.stringify({ n: index, ...(bytes === 0 ? {} : { padding: 'x'.repeat(bytes) }) })
  return {
    index,
    term: 2,
    kind: 'command',
    payload: encodeRecord({
      aggregate: { type: 'counter', id: 'c' },
      commandId: `command-${index}`,
      firstSequence: index,
      timeMs: 1_700_000_000_000,
      metadata: '{}',
      events: [{ type: 'Added', version: 1, data }],
    }),
    hash: new Uint8Array(32).fill(index % 256),
  }
}
