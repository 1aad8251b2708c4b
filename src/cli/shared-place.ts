// `--store postgres://…`: a store that is read or written without a node in front of it.
import type { Command } from 'commander'
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { SharedPlace } from '../node/moving/shared-store.ts'
import { parseCount } from './parse-arguments.ts'
import type { TargetFlags } from './target.ts'

export interface StoreFlags extends TargetFlags {
  readonly store?: string
  readonly partitions?: string
}

export const addStoreOptions = (command: Command): Command =>
  command
    .option('--store <url>', 'no node: the PostgreSQL database with this URL, postgres://…')
    .option('--scope <scope>', 'with --store, when it is new: the scope of the cluster (default: default)')
    .option('--partitions <n>', 'with --store, when it is new: the partitions of the cluster (default: 32)')

/** False when the flags name no store. Throws INVALID_ARGUMENT for a contradiction. */
export async function withSharedPlace(
  flags: StoreFlags,
  call: (place: SharedPlace) => Promise<void>,
): Promise<boolean> {
  const { store, scope, partitions } = flags
  if (store === undefined) {
    if (scope === undefined && partitions === undefined) return false
    throw new GlynError('INVALID_ARGUMENT', '--scope and --partitions go with --store: a node knows its own')
  }
  if (flags.dataDir !== undefined || flags.url !== undefined)
    throw new GlynError('INVALID_ARGUMENT', '--store stands alone: it goes with neither --data-dir nor --url')
  const { openSharedPlace } = await import('../node/moving/shared-store.ts')
  const place = await openSharedPlace(store, {
    ...(scope === undefined ? {} : { scope }),
    ...(partitions === undefined
      ? {}
      : { partitions: parseCount('--partitions', partitions, limits.partitionsMax) }),
  })
  try {
    await call(place)
    return true
  } finally {
    await place.store.close()
  }
}
