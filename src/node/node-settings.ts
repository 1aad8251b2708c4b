// What a node remembers of itself and its cluster beside the log: settings of the local store.
import type { ClusterNode, ClusterSettings } from '../cluster/cluster-state.ts'
import type { LocalStore } from '../store/store.ts'

const clusterSetting = 'cluster'
const contactsSetting = 'contacts'
const listenSetting = 'listen'
const historySetting = 'history'
const removedSetting = 'removed'
const formingSetting = 'forming'

/** Undefined for a node that belongs to no cluster yet. */
export function readClusterSettings(store: Pick<LocalStore, 'settings'>): ClusterSettings | undefined {
  const text = store.settings().get(clusterSetting)
  return text === undefined ? undefined : (JSON.parse(text) as ClusterSettings)
}

export const clusterSettingsRow = (settings: ClusterSettings): Readonly<Record<string, string>> => ({
  [clusterSetting]: JSON.stringify(settings),
})

/** With the members as the joining node was told them: until its own copy of the log has come, it knows nobody else. */
export async function writeClusterSettings(
  store: LocalStore,
  settings: ClusterSettings,
  nodes: readonly ClusterNode[] = [],
): Promise<void> {
  const rows = { ...clusterSettingsRow(settings), [contactsSetting]: JSON.stringify(nodes) }
  await store.write({ partitions: [], snapshots: [], settings: rows })
}

/** Before a shared store is claimed: a start that is cut off after that finds that the claim was its own. */
export async function rememberForming(store: LocalStore, clusterId: string): Promise<void> {
  await store.write({ partitions: [], snapshots: [], settings: { [formingSetting]: clusterId } })
}

/** The cluster that this node formed, or was about to form, on a shared store. */
export const readForming = (store: Pick<LocalStore, 'settings'>): string | undefined =>
  store.settings().get(formingSetting)

/** The members at the time when this node joined. */
export function readContacts(store: LocalStore): readonly ClusterNode[] {
  const text = store.settings().get(contactsSetting)
  return text === undefined ? [] : (JSON.parse(text) as readonly ClusterNode[])
}

/** That this identity was removed is remembered: a later start says so at once, also when nobody can be reached. */
export async function rememberRemoval(store: LocalStore, clusterId: string): Promise<void> {
  await store.write({ partitions: [], snapshots: [], settings: { [removedSetting]: clusterId } })
}

/** The cluster that this identity was removed from; undefined while it belongs to one, or to none yet. */
export const readRemoval = (store: Pick<LocalStore, 'settings'>): string | undefined =>
  store.settings().get(removedSetting)

/** Names the history that queries read: the cluster's, until some of it was lost and the rest recovered. */
export const readHistory = (store: LocalStore, clusterId: string): string =>
  store.settings().get(historySetting) ?? clusterId

/** What this node was told when it joined is out of date then, too. */
export const recoveredHistoryRow = (
  clusterId: string,
  timeMs: number,
): Readonly<Record<string, string | null>> => ({
  [historySetting]: `${clusterId}, recovered ${new Date(timeMs).toISOString()}`,
  [contactsSetting]: null,
})

/**
 * With `/tcp/0` the system picks a port. The same one is asked for after a restart, so that the others find the node
 * where they left it. Keyed by the wish: another wish is a new choice.
 */
export function rememberedListen(store: LocalStore, wish: readonly string[]): readonly string[] | undefined {
  const text = store.settings().get(listenSetting)
  if (text === undefined) return undefined
  const remembered = JSON.parse(text) as {
    readonly wish: readonly string[]
    readonly listen: readonly string[]
  }
  return remembered.wish.join() === wish.join() ? remembered.listen : undefined
}

export async function rememberListen(
  store: LocalStore,
  choice: { readonly wish: readonly string[]; readonly listen: readonly string[] },
): Promise<void> {
  await store.write({ partitions: [], snapshots: [], settings: { [listenSetting]: JSON.stringify(choice) } })
}
