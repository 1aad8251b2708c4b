// Events of a data directory that no node runs on. What is committed there is known up to a point; beyond it only the
// cluster knows.
import { join } from 'node:path'
import { GlynError, hasCode } from '../../core/errors.ts'
import type { EventEnvelope } from '../../core/event.ts'
import { type StoredEvent, toStoredEvents } from '../../core/record.ts'
import { replicaId } from '../../core/replica-id.ts'
import { isSystemType } from '../../core/system-types.ts'
import { parseToken } from '../../core/token.ts'
import { emptyConfiguration } from '../../raft/configuration.ts'
import type { Entry } from '../../raft/entry.ts'
import { openRow } from '../../store/event-cipher.ts'
import { toEventEnvelope } from '../../store/event-envelope.ts'
import { hashEntry } from '../../store/hash-entry.ts'
import { decodeRecord } from '../../store/record-codec.ts'
import { hasKeyFiles } from '../../store/sqlite/key-files.ts'
import { openStoppedStore, type StoppedStore } from '../../store/sqlite/open-stopped-store.ts'
import { openSqliteKeyReader, type SqliteKeyReader } from '../../store/sqlite/sqlite-key-reader.ts'
import type { RecoveredPartition } from '../../store/store.ts'
import { peerIdSetting } from '../data-directory.ts'
import { readClusterSettings } from '../node-settings.ts'
import { refuseHalfRestored } from '../restoring.ts'
import type { EventSource } from './event-source.ts'

/** Bytes of entries read at a time. */
const pageBytes = 1024 * 1024

/**
 * Throws ENTITY_NOT_FOUND for a directory without a database or a cluster, ALREADY_RUNNING, INVALID_ARGUMENT when
 * partitions rest on other nodes only, and STORE_CORRUPT and KEY_UNAVAILABLE while it is read.
 */
export function openStoppedSource(directory: string): EventSource & { close(): void } {
  refuseHalfRestored(directory)
  const store = openStoppedStore(join(directory, 'glyn.db'))
  let keys: SqliteKeyReader | undefined
  const close = (): void => {
    keys?.close()
    store.close()
  }
  try {
    if (hasKeyFiles(directory)) keys = openSqliteKeyReader(directory)
    const settings = readClusterSettings(store)
    if (settings === undefined)
      throw new GlynError('ENTITY_NOT_FOUND', `${directory} belongs to no cluster yet: it has no events`)
    const replicas = new Map(store.recover().map(recovered => [recovered.partition, recovered]))
    const partitions = Array.from({ length: settings.partitions }, (_, place) => place + 1)
    const missing = partitions.filter(partition => (replicas.get(partition)?.lastIndex ?? 0) === 0)
    if (missing.length > 0) {
      const text = `${directory} holds no replica of partition ${missing.join(', ')}; export from a running node, which reads the others' too`
      throw new GlynError('INVALID_ARGUMENT', text, { details: { missing } })
    }
    const open = openerOf(keys)
    const self = replicaId({ peerId: store.settings().get(peerIdSetting) ?? '', storageId: store.storageId })
    const ends = new Map([...replicas].map(([partition, replica]) => [partition, committedOf(replica, self)]))
    const uncertain = partitions.filter(
      partition => (replicas.get(partition)?.lastIndex ?? 0) > (ends.get(partition) ?? 0),
    )
    return {
      history: settings.clusterId,
      scope: settings.scope,
      partitions: settings.partitions,
      heads: new Map(partitions.map(partition => [partition, ends.get(partition) ?? 0])),
      async *events({ from, types, signal }) {
        const after = parseToken(from)
        for (const partition of partitions) {
          const range = { after: after.get(partition) ?? 0, through: ends.get(partition) ?? 0 }
          for (const event of eventsOf({ store, open }, partition, range)) {
            if (signal.aborted) return
            if (types === null || types.includes(event.aggregate.type)) yield event
          }
        }
      },
      remarks: () =>
        uncertain.length === 0
          ? []
          : [
              `partition ${uncertain.join(', ')}: the last entries here are not known to be committed, and are left out; ` +
                'start the nodes and export from one of them to have everything',
            ],
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

/** A sole voter commits what it has written; of others only what they heard of is certain. */
function committedOf({ configurations, lastIndex, hardState }: RecoveredPartition, self: string): number {
  const { voters } = configurations.at(-1)?.configuration ?? emptyConfiguration
  return voters.length === 1 && voters[0] === self ? lastIndex : hardState.commit
}

/** As readers of a node get them. A node that does not run asks no other one for a key. */
function openerOf(keys: SqliteKeyReader | undefined): (row: StoredEvent) => StoredEvent {
  const here = { find: (id: string) => keys?.find(id) }
  return row => {
    try {
      return openRow(here, row)
    } catch (error) {
      if (!hasCode(error, 'KEY_UNAVAILABLE')) throw error
      const text = `${error.message}. Start it and export from it, so that other nodes are asked; or put keys.db and keys.bin back`
      throw new GlynError('KEY_UNAVAILABLE', text, { cause: error, details: error.details })
    }
  }
}

/** Of users' aggregates. The hash chain is checked on the way; the entry before the first is trusted. */
function* eventsOf(
  { store, open }: { readonly store: StoppedStore; readonly open: (row: StoredEvent) => StoredEvent },
  partition: number,
  range: { readonly after: number; readonly through: number },
): Generator<EventEnvelope> {
  const log = store.log(partition)
  let previous = range.after === 0 ? new Uint8Array(32) : log.hash(range.after)
  for (let next = range.after + 1; next <= range.through; ) {
    const page = log.entries(next, range.through, pageBytes)
    if (page.length === 0) throw corrupt(next, 'it is missing')
    for (const entry of page) {
      if (previous === undefined) throw corrupt(next - 1, 'it is missing')
      if (entry.index !== next || !isSame(hashEntry(previous, entry), entry.hash))
        throw corrupt(next, 'its content, or the entry before it, does not fit its hash')
      previous = entry.hash
      next += 1
      yield* rowsIn(partition, entry).map(row => toEventEnvelope(open(row)))
    }
  }

  function corrupt(index: number, why: string): GlynError {
    const text = `store ${store.location}: partition ${partition}, index ${index}: ${why}. Export from another node`
    return new GlynError('STORE_CORRUPT', text, { details: { partition, index } })
  }
}

function rowsIn(partition: number, { kind, index, payload }: Entry): readonly StoredEvent[] {
  if (kind !== 'command') return []
  const record = decodeRecord(payload)
  if (isSystemType(record.aggregate.type)) return []
  return toStoredEvents(record, { partition, index })
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
