// Which replicas a cluster goes on with after its majority is lost for good: read from the stores of those that are left.
//
// For each group: where the survivors are a majority, consensus goes on by itself, and nothing is touched (but for the
// controller, which has to record who is lost). Elsewhere the replica that is furthest ahead, by (term, index) of its last
// entry as in an election, becomes the only voter. It holds everything that any survivor knows to be committed. The other
// survivors follow it; lost nodes are removed for ever.
import { type ClusterNode, type ClusterState, replicaIdOfNode } from '../cluster/cluster-state.ts'
import { GlynError } from '../core/errors.ts'
import { controllerPartition } from '../core/partition-of.ts'
import { peerIdOf, replicaId } from '../core/replica-id.ts'
import { emptyConfiguration } from '../raft/configuration.ts'
import { majorityOf } from '../raft/quorum.ts'
import type { LocalStore, RecoveredPartition } from '../store/store.ts'
import { foldController } from './fold-controller.ts'
import { readClusterSettings } from './node-settings.ts'

export interface Survivor {
  /** For people: its data directory. */
  readonly path: string
  readonly peerId: string
  readonly store: LocalStore
}

export interface GroupPlan {
  readonly partition: number
  /**
   * `keep`: its majority survived. `recover`: one replica goes on alone; so does the controller with its majority when
   * another group is recovered and nodes are lost. `begin-anew`: no replica survived.
   */
  readonly action: 'keep' | 'recover' | 'begin-anew'
  /** Peer id of who goes on; null for `keep`. */
  readonly holder: string | null
  /** The partition had moved away from the holder: what was decided since then is lost. */
  readonly isFormer: boolean
  readonly voters: number
  readonly votersLeft: number
  /** Of the holder, or of who is furthest ahead. */
  readonly lastIndex: number
  readonly lastTerm: number
  /** Known to be committed there. What lies above may have been acknowledged, or not; it is kept. */
  readonly commitIndex: number
  /** The term that it goes on in. */
  readonly nextTerm: number
  /** Survivors whose replica ends earlier: they follow. */
  readonly shorter: readonly { readonly peerId: string; readonly lastIndex: number }[]
}

export interface RecoveryPlan {
  readonly clusterId: string
  readonly survivors: readonly { readonly peerId: string; readonly name: string; readonly path: string }[]
  /** Members that are removed for ever, also if they are alive. */
  readonly lost: readonly { readonly peerId: string; readonly name: string }[]
  /** The controller first. */
  readonly groups: readonly GroupPlan[]
}

interface Replica {
  readonly survivor: Survivor
  readonly recovered: RecoveredPartition
  readonly lastTerm: number
}

/**
 * Throws INVALID_ARGUMENT for a directory that belongs to no cluster or is given twice, CLUSTER_MISMATCH for those of
 * two clusters, MEMBER_REMOVED for one that was removed, and STORE_CORRUPT.
 */
export function planRecovery(survivors: readonly Survivor[]): RecoveryPlan {
  const { clusterId, partitions } = checkedCluster(survivors)
  const replicas = survivors.flatMap(survivor =>
    survivor.store.recover().map(recovered => {
      const { partition, lastIndex } = recovered
      const lastTerm = survivor.store.log(partition).term(lastIndex) ?? 0
      return { survivor, recovered, lastTerm }
    }),
  )
  const state = controllerState(survivors, replicas)
  const here = new Set(survivors.map(({ peerId }) => peerId))
  const lost = [...state.nodes.values()]
    .filter(node => node.state !== 'removed' && !here.has(node.peerId))
    .map(({ peerId, name }) => ({ peerId, name }))
  const groups = planned(state, partitions, { replicas, survivors })
  checkMembers(state, survivors)
  return {
    clusterId,
    survivors: survivors.map(({ peerId, path }) => ({ peerId, name: nameOf(state, peerId), path })),
    lost,
    groups: lost.length === 0 ? groups : withRemovals(groups, replicas),
  }
}

/**
 * Where a partition is recovered, the lost ones must be removed before anybody starts: so the controller is written too.
 * Of its majority nothing is lost: whoever is furthest ahead in it has all that was ever committed.
 */
function withRemovals(groups: readonly GroupPlan[], replicas: readonly Replica[]): readonly GroupPlan[] {
  if (groups.every(({ action }) => action === 'keep')) return groups
  const holder = furthestOf(replicas, controllerPartition)?.survivor.peerId ?? null
  return groups.map(group =>
    group.partition === controllerPartition && group.action === 'keep'
      ? { ...group, action: 'recover', holder }
      : group,
  )
}

const furthestFirst = (a: Replica, b: Replica): number =>
  b.lastTerm - a.lastTerm || b.recovered.lastIndex - a.recovered.lastIndex

const furthestOf = (replicas: readonly Replica[], partition: number): Replica | undefined =>
  replicas
    .filter(({ recovered }) => recovered.partition === partition && recovered.lastIndex > 0)
    .sort(furthestFirst)[0]

function planned(
  state: ClusterState,
  partitions: number,
  found: { readonly replicas: readonly Replica[]; readonly survivors: readonly Survivor[] },
): GroupPlan[] {
  return Array.from({ length: partitions + 1 }, (_, partition) => {
    const own = found.replicas.filter(({ recovered }) => recovered.partition === partition)
    const wanted = state.wanted.get(partition)
    // Once the lost ones are removed, nobody waits for their seats.
    const seated = [...(wanted?.voters ?? []), ...(wanted?.learners ?? [])]
      .map(peerIdOf)
      .filter(peerId => state.nodes.get(peerId)?.state !== 'removed')
    const isSeated = seated.length === 0 || found.survivors.some(({ peerId }) => seated.includes(peerId))
    const plan = planGroup(partition, own, { survivors: found.survivors, isSeated })
    const isFormer = plan.action === 'recover' && !isSeated
    return { ...plan, isFormer }
  })
}

function checkedCluster(survivors: readonly Survivor[]): { clusterId: string; partitions: number } {
  const [first] = survivors
  if (first === undefined) throw new GlynError('INVALID_ARGUMENT', 'no data directory is given')
  const found = survivors.map(survivor => ({ survivor, settings: readClusterSettings(survivor.store) }))
  for (const { survivor, settings } of found) {
    if (settings === undefined)
      throw new GlynError(
        'INVALID_ARGUMENT',
        `${survivor.path} belongs to no cluster: there is nothing to recover`,
      )
  }
  const ours = found[0]?.settings
  for (const { survivor, settings } of found) {
    if (settings?.clusterId === ours?.clusterId) continue
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `${first.path} belongs to cluster ${ours?.clusterId}, ${survivor.path} to ${settings?.clusterId}`,
    )
  }
  return { clusterId: ours?.clusterId ?? '', partitions: ours?.partitions ?? 0 }
}

/** `isSeated`: a survivor is among those who shall hold it. Others may only remember a majority that was. */
function planGroup(
  partition: number,
  all: readonly Replica[],
  { survivors, isSeated }: { readonly survivors: readonly Survivor[]; readonly isSeated: boolean },
): Omit<GroupPlan, 'isFormer'> {
  const [best, ...others] = all.filter(({ recovered }) => recovered.lastIndex > 0).sort(furthestFirst)
  // Also of replicas without an entry: a term never goes back.
  const nextTerm = Math.max(0, ...all.map(({ recovered }) => recovered.hardState.term)) + 1
  if (best === undefined) {
    const holder = survivors[partition % survivors.length]?.peerId ?? null
    const nothing = { voters: 0, votersLeft: 0, lastIndex: 0, lastTerm: 0, commitIndex: 0, shorter: [] }
    return { partition, action: 'begin-anew', holder, nextTerm, ...nothing }
  }
  const { voters } = best.recovered.configurations.at(-1)?.configuration ?? emptyConfiguration
  const here = new Set(survivors.map(({ peerId, store: { storageId } }) => replicaId({ peerId, storageId })))
  const votersLeft = voters.filter(id => here.has(id)).length
  const isAlive = isSeated && voters.length > 0 && votersLeft >= majorityOf(voters.length)
  return {
    partition,
    action: isAlive ? 'keep' : 'recover',
    holder: isAlive ? null : best.survivor.peerId,
    voters: voters.length,
    votersLeft,
    lastIndex: best.recovered.lastIndex,
    lastTerm: best.lastTerm,
    commitIndex: best.recovered.hardState.commit,
    nextTerm,
    shorter: others
      .filter(({ recovered }) => recovered.lastIndex < best.recovered.lastIndex)
      .map(({ survivor, recovered }) => ({ peerId: survivor.peerId, lastIndex: recovered.lastIndex })),
  }
}

/** As the most advanced replica of the controller has it, all of its log included: all of it will be committed. */
function controllerState(survivors: readonly Survivor[], replicas: readonly Replica[]): ClusterState {
  const best = furthestOf(replicas, controllerPartition)
  if (best === undefined) {
    throw new GlynError(
      'STORE_CORRUPT',
      `${survivors.map(({ path }) => path).join(', ')}: no replica of the controller, so that nobody knows what belongs to the cluster`,
    )
  }
  return foldController(best.survivor.store.log(controllerPartition), best.recovered.lastIndex).state
}

function checkMembers(state: ClusterState, survivors: readonly Survivor[]): void {
  const seen = new Set<string>()
  for (const { peerId, path, store } of survivors) {
    if (seen.has(peerId))
      throw new GlynError('INVALID_ARGUMENT', `${path} is given twice, or a copy of another one`)
    seen.add(peerId)
    const node: ClusterNode | undefined = state.nodes.get(peerId)
    if (node?.state === 'removed')
      throw new GlynError(
        'MEMBER_REMOVED',
        `${path} is the directory of ${peerId}, which was removed for ever`,
      )
    if (node !== undefined && replicaIdOfNode(node) !== replicaId({ peerId, storageId: store.storageId }))
      throw new GlynError(
        'IDENTITY_MISMATCH',
        `${path} has another database than ${peerIdOf(replicaIdOfNode(node))} had`,
      )
  }
}

const nameOf = (state: ClusterState, peerId: string): string =>
  state.nodes.get(peerId)?.name ?? peerId.slice(-6)
