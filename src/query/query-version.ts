// One version of a query, with the plugin that it came from: is it what lies on the disk, and is it the same as another?
import type { QueryBuild } from './query.ts'
import type { QueryPlugin } from './query-plugin.ts'
import type { QuerySupervisor } from './query-supervisor.ts'

export interface QueryVersion {
  readonly supervisor: QuerySupervisor
  plugin: QueryPlugin | null
  /** Of the helpers when it was last tried: one that failed is tried again when they change. */
  helpersHash: string | undefined
  /** Built again on demand, from the same code. */
  readonly isRebuild: boolean
  readonly startedAtMs: number
}

/** What is on the disk now. */
export interface Disk {
  /** SHA-256, hex, of the files that the versions of a query name as their parts. */
  readonly hashes: ReadonlyMap<string, string>
  /** Over all helper files of the folder. */
  readonly helpersHash: string
  /** Plugins that are there and cannot be read. */
  readonly unreadable: ReadonlySet<string>
}

/**
 * Its code is that of the disk, and, if it did not load, there is no reason to try again: its helpers are those with which it
 * was looked at first, which are noted here.
 */
export function isOnDisk(
  version: QueryVersion,
  { plugin, disk }: { readonly plugin: QueryPlugin; readonly disk: Disk },
): boolean {
  const { supervisor } = version
  const [own, ...others] = supervisor.parts()
  const isAsItWas =
    plugin.contentHash === (own?.hash ?? version.plugin?.contentHash) &&
    // One that is not known yet is looked at soon.
    others.every(({ file, hash }) => (disk.hashes.get(file) ?? hash) === hash)
  if (!isAsItWas || supervisor.isLoaded()) return isAsItWas
  version.helpersHash ??= disk.helpersHash
  return version.helpersHash === disk.helpersHash
}

/** The other one runs, and is of the same code. */
export const isSame = (one: QuerySupervisor, other: QuerySupervisor): boolean =>
  other.isLoaded() &&
  one.name === other.name &&
  one.version === other.version &&
  one.contentHash === other.contentHash

/** Of one that is built beside another. `file` is null for a definition given in code. */
export function buildStatus({ supervisor }: QueryVersion, file: string | null): QueryBuild {
  const { version, state, lag, ratePerSecond, lastError, positions } = supervisor.status()
  const contentHash = supervisor.parts().length === 0 && file !== null ? null : supervisor.contentHash
  const done = Object.values(positions).reduce((sum, index) => sum + index, 0)
  return { version, contentHash, state, ratePerSecond, progress: { done, total: done + lag }, lastError }
}
