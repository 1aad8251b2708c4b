// A long history, written through the store as a leader writes it, without the commands that it would have come from.
import { partitionOf } from '../src/core/partition-of.ts'
import { createCommandId } from '../src/node/command-id.ts'
import type { Entry } from '../src/raft/entry.ts'
import { hashEntry } from '../src/store/hash-entry.ts'
import { encodeRecord } from '../src/store/record-codec.ts'
import type { LocalStore, PartitionWrite, RecoveredPartition } from '../src/store/store.ts'
import { accountId } from './settings.ts'

/** Events per durable batch. */
const batchEvents = 10_000

interface End {
  readonly term: number
  readonly vote: RecoveredPartition['hardState']['vote']
  lastIndex: number
  lastHash: Uint8Array
}

/** Appends `events` deposits, one command each, to accounts that take turns. The logs of a node that is closed. */
export async function fillStore(
  store: LocalStore,
  options: { readonly events: number; readonly accounts: number; readonly partitions: number },
): Promise<void> {
  const { events, accounts, partitions } = options
  const ends = new Map<number, End>()
  for (const { partition, hardState, lastIndex } of store.recover()) {
    const lastHash = store.log(partition).hash(lastIndex)
    if (lastHash === undefined) throw new Error(`partition ${partition} has no entry ${lastIndex}`)
    ends.set(partition, { term: hardState.term, vote: hardState.vote, lastIndex, lastHash })
  }
  const ids = Array.from({ length: accounts }, (_, number) => accountId(number))
  const homes = ids.map(id => partitionOf({ type: 'bank_account', id }, partitions))
  for (let done = 0; done < events; done += batchEvents) {
    const entries = new Map<number, Entry[]>()
    for (let number = done; number < Math.min(events, done + batchEvents); number += 1) {
      const account = number % accounts
      const partition = homes[account] ?? 0
      const end = ends.get(partition)
      if (end === undefined) throw new Error(`the node has no partition ${partition}`)
      const sequence = Math.floor(number / accounts) + 1
      const payload = encodeRecord({
        aggregate: { type: 'bank_account', id: ids[account] ?? '' },
        commandId: createCommandId(),
        firstSequence: sequence,
        timeMs: 1_700_000_000_000 + number,
        metadata: '{}',
        events: [{ type: 'CustomerDepositedCash', version: 1, data: `{"amount":1,"balance":${sequence}}` }],
      })
      const draft = { index: end.lastIndex + 1, term: end.term, kind: 'command', payload } as const
      const entry: Entry = { ...draft, hash: hashEntry(end.lastHash, draft) }
      end.lastIndex = entry.index
      end.lastHash = entry.hash
      const appended = entries.get(partition)
      if (appended === undefined) entries.set(partition, [entry])
      else appended.push(entry)
    }
    const writes = [...entries].map(([partition, appended]): PartitionWrite => {
      const { term = 0, vote = null, lastIndex = 0 } = ends.get(partition) ?? {}
      return {
        partition,
        hardState: { term, vote, commit: lastIndex },
        truncateFrom: null,
        entries: appended,
      }
    })
    await store.write({ partitions: writes, snapshots: [], settings: {} })
  }
}
