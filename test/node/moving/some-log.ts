// The log of a partition as a store holds it: a chain of entries, those of commands between others.
import type { EventEnvelope } from '../../../src/core/event.ts'
import { bootstrapEntry } from '../../../src/raft/bootstrap-entry.ts'
import { type Entry, genesisHash } from '../../../src/raft/entry.ts'
import { hashEntry } from '../../../src/store/hash-entry.ts'
import { encodeRecord } from '../../../src/store/record-codec.ts'

export type Draft = Pick<Entry, 'kind' | 'payload'> & { readonly term?: number }

const voter = '12D3KooWOld/00000000-0000-4000-8000-000000000001'

/** Entry 1 is the configuration it began with. */
export function logOf(drafts: readonly Draft[]): Entry[] {
  const entries: Entry[] = [bootstrapEntry({ configuration: { voters: [voter], learners: [] }, hashEntry })]
  for (const { kind, payload, term = 3 } of drafts) {
    const draft = { index: entries.length + 1, term, kind, payload }
    entries.push({ ...draft, hash: hashEntry(entries.at(-1)?.hash ?? genesisHash, draft) })
  }
  return entries
}

export const noop: Draft = { kind: 'noop', payload: new Uint8Array() }

export function added(id: string, n: number, type = 'counter'): Draft {
  const payload = encodeRecord({
    aggregate: { type, id },
    commandId: `c-${id}-${n}`,
    firstSequence: n,
    timeMs: 1_700_000_000_000 + n,
    metadata: n % 2 === 0 ? '{"user":"ann"}' : '{}',
    events: [{ type: 'Added', version: 1, data: JSON.stringify({ by: n }) }],
  })
  return { kind: 'command', payload }
}

export const idsOf = (events: readonly EventEnvelope[]): string[] => events.map(({ id }) => id)
