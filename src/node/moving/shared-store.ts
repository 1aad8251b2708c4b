// Exports from a shared store, and imports into one, without a node in front of it.
import { GlynError, hasCode } from '../../core/errors.ts'
import { partitionOf } from '../../core/partition-of.ts'
import { isSystemType } from '../../core/system-types.ts'
import { parseToken } from '../../core/token.ts'
import { toEventEnvelope } from '../../store/event-envelope.ts'
import type { SharedStore, StoreBinding } from '../../store/shared-store.ts'
import { checkAppend } from '../check-append.ts'
import { nodeDefaults } from '../node-options.ts'
import { storeFromText } from '../store-from-text.ts'
import type { EventSource } from './event-source.ts'
import type { ImportTarget } from './run-import.ts'

const pageEvents = 1000

export interface SharedPlace {
  readonly store: SharedStore
  readonly binding: StoreBinding
}

/**
 * Opens the database of a `postgres://` URL. What is left out of the binding is what the store is bound to already, or the
 * default of a new one. Throws INVALID_ARGUMENT for another kind of URL, CLUSTER_MISMATCH for another binding, and those of
 * the store.
 */
export async function openSharedPlace(url: string, wanted: Partial<StoreBinding>): Promise<SharedPlace> {
  if (!/^postgres(ql)?:\/\//.test(url))
    throw new GlynError(
      'INVALID_ARGUMENT',
      // Not even its beginning is shown: it may hold a password.
      'the store is of no known kind; allowed: postgres://user@host/database',
    )
  const { scope, partitions } = nodeDefaults
  const binding = { scope, partitions, ...wanted }
  try {
    return await open(url, binding)
  } catch (error) {
    if (!hasCode(error, 'CLUSTER_MISMATCH')) throw error
    const { found } = error.details as { readonly found: StoreBinding }
    const isOther = Object.entries(wanted).some(
      ([field, value]) => found[field as keyof StoreBinding] !== value,
    )
    if (isOther) throw error
    return await open(url, found)
  }
}

async function open(url: string, binding: StoreBinding): Promise<SharedPlace> {
  const store = storeFromText(url)
  try {
    await store.open(binding)
    return { store, binding }
  } catch (error) {
    await store.close()
    throw error
  }
}

export async function sharedSource({ store, binding }: SharedPlace): Promise<EventSource> {
  const heads = await store.heads()
  return {
    history: store.location,
    scope: binding.scope,
    partitions: binding.partitions,
    heads,
    async *events({ from, types, signal }) {
      const after = parseToken(from)
      for (const [partition, head] of [...heads].sort(([one], [other]) => one - other)) {
        for (let afterIndex = after.get(partition) ?? 0; afterIndex < head; ) {
          if (signal.aborted) return
          const rows = await store.readLog(partition, { afterIndex, limit: pageEvents })
          for (const row of rows) {
            if (row.index > head) break
            if (isSystemType(row.aggregateType)) continue
            if (types === null || types.includes(row.aggregateType)) yield toEventEnvelope(row)
          }
          afterIndex = rows.at(-1)?.index ?? head
        }
      }
    },
    remarks: () => [],
  }
}

export const sharedTarget = ({ store, binding }: SharedPlace): ImportTarget => ({
  async append(given, { signal } = {}) {
    const appends = given.map((one, place) => ({
      ...checkAppend(one, `append ${place + 1}`),
      partition: partitionOf(one.aggregate, binding.partitions),
    }))
    const results = await store.append(appends, signal === undefined ? {} : { signal })
    return results.map((result, place) =>
      result.type === 'appended' ? { ...result, partition: appends[place]?.partition ?? 0 } : result,
    )
  },
})
