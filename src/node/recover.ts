// Carries out a recovery plan on the stores of stopped nodes: an unsafe change of the configuration. Consensus promises
// nothing about what only the lost nodes knew; that is why nobody does this by accident.
import type { ControllerCommand } from '../cluster/cluster-state.ts'
import { GlynError } from '../core/errors.ts'
import { controllerPartition } from '../core/partition-of.ts'
import { replicaId } from '../core/replica-id.ts'
import { bootstrapEntry } from '../raft/bootstrap-entry.ts'
import { encodeConfiguration } from '../raft/configuration.ts'
import { type Entry, genesisHash } from '../raft/entry.ts'
import { hashEntry } from '../store/hash-entry.ts'
import { encodeRecord } from '../store/record-codec.ts'
import type { LocalStore, PartitionWrite } from '../store/store.ts'
import { verifyLog } from '../store/verify-log.ts'
import { foldController } from './fold-controller.ts'
import { recoveredHistoryRow } from './node-settings.ts'
import type { GroupPlan, RecoveryPlan, Survivor } from './recovery-plan.ts'

/** Of the controller's log, read at a time. */
const pageBytesMax = 1024 * 1024

/**
 * Writes each survivor in one transaction. When it is interrupted between two, it can be done again. Throws STORE_CORRUPT
 * for a replica whose hash chain is broken, before anything is written.
 */
export async function recover(
  plan: RecoveryPlan,
  survivors: readonly Survivor[],
  now: { readonly timeMs: number },
): Promise<void> {
  const written = plan.groups.filter(({ action }) => action !== 'keep')
  for (const group of written) verify(storeOf(survivors, group), group)
  const controller = written.find(({ partition }) => partition === controllerPartition)
  const isFirst = ({ peerId }: Survivor): boolean => peerId === controller?.holder
  // Its holder first: the others must not know of a recovery that was never done.
  for (const survivor of [...survivors.filter(isFirst), ...survivors.filter(one => !isFirst(one))]) {
    const { store, peerId } = survivor
    const partitions = written
      .filter(({ holder }) => holder === peerId)
      .map(group => writeOf(group, { plan, store, peerId, timeMs: now.timeMs }))
    if (controller !== undefined && !isFirst(survivor))
      partitions.push(copyOfController(storeOf(survivors, controller), store))
    // Queries may have seen what is lost, from other replicas: their read models are built again.
    await store.write({
      partitions,
      snapshots: [],
      settings: recoveredHistoryRow(plan.clusterId, now.timeMs),
    })
  }
}

/**
 * Every survivor knows from its first moment who was removed: the lost may be alive, and speak to it before the holder
 * does. Where the two hashes are the same, all that comes before is the same.
 */
function copyOfController(from: LocalStore, to: LocalStore): PartitionWrite {
  const find = (store: LocalStore) =>
    store.recover().find(({ partition }) => partition === controllerPartition)
  const [source, target] = [from.log(controllerPartition), to.log(controllerPartition)]
  const { hardState, lastIndex } = find(from) ?? {
    hardState: { term: 0, vote: null, commit: 0 },
    lastIndex: 0,
  }
  const targetLast = find(to)?.lastIndex ?? 0
  let same = Math.min(lastIndex, targetLast)
  while (same > 0 && !isSameHash(source.hash(same), target.hash(same))) same -= 1
  const entries: Entry[] = []
  while (same + entries.length < lastIndex) {
    const page = source.entries(same + entries.length + 1, lastIndex, pageBytesMax)
    if (page.length === 0)
      throw new GlynError('STORE_CORRUPT', `store ${from.location}: the controller's log cannot be read`)
    entries.push(...page)
  }
  const truncateFrom = targetLast > same ? same + 1 : null
  return { partition: controllerPartition, hardState: { ...hardState, vote: null }, truncateFrom, entries }
}

const isSameHash = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && a.every((byte, place) => byte === b[place])

function storeOf(survivors: readonly Survivor[], { holder, partition }: GroupPlan): LocalStore {
  const survivor = survivors.find(({ peerId }) => peerId === holder)
  if (survivor === undefined)
    throw new GlynError('INVALID_ARGUMENT', `partition ${partition}: the store of ${holder} is not given`)
  return survivor.store
}

function verify(store: LocalStore, { partition, lastIndex, action }: GroupPlan): void {
  if (action !== 'recover') return
  const steps = verifyLog(store.log(partition), { throughIndex: lastIndex, hashEntry })
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done !== true) continue
    if (step.value === null) return
    const { index, reason } = step.value
    throw new GlynError(
      'STORE_CORRUPT',
      `store ${store.location}: partition ${partition}, index ${index}: ${reason}. Recover from another replica`,
    )
  }
}

function writeOf(
  group: GroupPlan,
  context: {
    readonly plan: RecoveryPlan
    readonly store: LocalStore
    readonly peerId: string
    readonly timeMs: number
  },
): PartitionWrite {
  const { partition, nextTerm: term, lastIndex } = group
  const { store, peerId } = context
  const configuration = { voters: [replicaId({ peerId, storageId: store.storageId })], learners: [] }
  if (group.action === 'begin-anew') {
    const entry = bootstrapEntry({ configuration, hashEntry })
    return { partition, hardState: { term, vote: null, commit: 1 }, truncateFrom: null, entries: [entry] }
  }
  const drafts: Omit<Entry, 'hash' | 'index'>[] = [
    { term, kind: 'config', payload: encodeConfiguration(configuration) },
  ]
  if (partition === controllerPartition)
    drafts.push(...removals(group, context).map(payload => ({ term, kind: 'command' as const, payload })))
  const entries: Entry[] = []
  let previous = store.log(partition).hash(lastIndex) ?? genesisHash
  for (const [place, partial] of drafts.entries()) {
    const draft = { index: lastIndex + 1 + place, ...partial }
    previous = hashEntry(previous, draft)
    entries.push({ ...draft, hash: previous })
  }
  // All that this replica has is the history from now on.
  const commit = lastIndex + entries.length
  return { partition, hardState: { term, vote: null, commit }, truncateFrom: null, entries }
}

/** Lost nodes can never come back: the majority that they once were would lead a history of its own. */
function removals(
  { lastIndex, nextTerm }: GroupPlan,
  {
    plan,
    store,
    timeMs,
  }: { readonly plan: RecoveryPlan; readonly store: LocalStore; readonly timeMs: number },
): Uint8Array[] {
  const { sequence } = foldController(store.log(controllerPartition), lastIndex)
  return plan.lost.map(({ peerId }, place) => {
    const command: ControllerCommand = { type: 'remove-node', peerId }
    const firstSequence = sequence + 1 + place
    return encodeRecord({
      aggregate: { type: 'glyn.controller', id: 'cluster' },
      commandId: `recover-${nextTerm}-${firstSequence}`,
      firstSequence,
      timeMs,
      metadata: '{}',
      events: [{ type: command.type, version: 1, data: JSON.stringify(command) }],
    })
  })
}
