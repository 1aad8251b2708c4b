// What a healed cluster must come to by itself, and what then must be the same everywhere.
import { isDeepStrictEqual } from 'node:util'
import type { ClusterState } from '../../cluster/cluster-state.ts'
import { controllerPlacement } from '../../cluster/wanted-placement.ts'
import type { AnyAggregate } from '../../core/aggregate.ts'
import { controllerPartition } from '../../core/partition-of.ts'
import type { Placement } from '../../core/placement.ts'
import { peerIdOf } from '../../core/replica-id.ts'
import type { AnyQuery } from '../../query/define-query.ts'
import type { RaftStatus } from '../../raft/raft.ts'
import { type Canon, nameOf, sameBytes } from './canon.ts'
import { dueTo, type FeedReader, handledBy, parkedBy } from './event-watch.ts'
import type { ReactionWatch } from './reaction-watch.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { About } from './story.ts'

export interface ConvergenceInit {
  readonly canon: Canon
  readonly partitions: number
  /** Those that belong to the cluster. */
  readonly nodes: readonly SimulatedNode[]
  /** Peer ids of those that are gone for ever. */
  readonly gone: readonly string[]
  readonly readers: readonly FeedReader[]
  readonly queries: readonly AnyQuery[]
  readonly aggregates: ReadonlyMap<string, AnyAggregate>
  readonly reactions: ReactionWatch
}

/** The first thing that is not as it should be, or null. */
export function whatIsMissing(
  init: ConvergenceInit,
): { readonly text: string; readonly about: About } | null {
  const { canon, nodes, partitions } = init
  for (const { peerId, state, failure } of nodes) {
    if (state !== 'ready')
      return { text: `${peerId} is ${state}${failure === undefined ? '' : `: ${failure}`}`, about: {} }
  }
  const [first] = nodes
  if (first?.parts === undefined) return { text: 'there is no node', about: {} }
  const state = first.parts.state()
  for (const [peerId, node] of state.nodes) {
    if (node.state === 'draining') return { text: `${peerId} is still leaving`, about: {} }
  }
  for (const peerId of init.gone) {
    const node = state.nodes.get(peerId)
    if (node !== undefined && node.state !== 'removed')
      return { text: `${peerId}, which is gone, is not removed yet`, about: {} }
  }
  for (let partition = controllerPartition; partition <= partitions; partition += 1) {
    const text = whatPartitionMisses(init, state, partition)
    if (text !== null) return { text, about: { partition } }
  }
  for (const reader of init.readers) {
    const lag = reader.lag(partitions)
    if (lag > 0) return { text: `a reader of the feed misses ${lag} events`, about: {} }
  }
  for (const { peerId, running } of nodes) {
    for (const { name, lag, state: queryState, lastError } of running?.queries.status() ?? []) {
      if (lag > 0 || queryState !== 'running') {
        const why = lastError === null ? '' : ` (${lastError.message})`
        return { text: `query ${name} on ${peerId} is ${queryState}, ${lag} entries behind${why}`, about: {} }
      }
      for (let partition = 1; partition <= partitions; partition += 1) {
        const behind =
          canon.log(partition).length -
          (running?.queries.status().find(one => one.name === name)?.positions[partition] ?? 0)
        if (behind > 0 && canon.log(partition).length > 0) {
          return { text: `query ${name} on ${peerId} is ${behind} entries behind`, about: { partition } }
        }
      }
    }
  }
  const undone = init.reactions.missing()
  return undone === null ? null : { text: undone, about: {} }
}

function whatPartitionMisses(
  { canon, nodes }: ConvergenceInit,
  state: ClusterState,
  partition: number,
): string | null {
  const wanted = wantedOf(state, partition)
  if (wanted === undefined) return 'nobody knows who should hold it'
  const statuses = new Map<string, RaftStatus>()
  for (const { peerId, parts } of nodes) {
    const status = parts?.engine.status(partition)
    if (status !== undefined) statuses.set(peerId, status)
  }
  const leader = [...statuses.values()].find(status => status.role === 'leader' && status.canServe)
  if (leader === undefined) return `it has no leader: ${[...statuses.values()].map(describe).join('; ')}`
  const { voters, learners } = leader.configuration
  if (!sameMembers(voters, wanted.voters) || !sameMembers(learners, wanted.learners)) {
    return `it is held by ${names(voters)} with learners ${names(learners)}; wanted are ${names(wanted.voters)} with ${names(wanted.learners)}`
  }
  const committed = canon.log(partition).length
  for (const id of [...voters, ...learners]) {
    const status = statuses.get(peerIdOf(id))
    if (status === undefined || status.commitIndex !== committed) {
      return `${peerIdOf(id)} is at ${status?.commitIndex ?? 'nothing'} of ${committed}`
    }
  }
  for (const { peerId, parts } of nodes) {
    const believed = parts?.table.leaderOf(partition).leader ?? null
    if (believed !== peerIdOf(leader.id)) {
      return `${peerId} believes that ${believed ?? 'nobody'} leads, but it is ${peerIdOf(leader.id)}`
    }
  }
  return leader.lastIndex === committed ? null : `entry ${leader.lastIndex} is not committed`
}

function describe(status: RaftStatus): string {
  const { id, role, term, commitIndex, lastIndex, configuration, transferTarget } = status
  const { voters, learners } = configuration
  const who = `voters ${names(voters)}${learners.length === 0 ? '' : `, learners ${names(learners)}`}`
  const transfer = transferTarget === null ? '' : `, hands over to ${peerIdOf(transferTarget)}`
  return `${peerIdOf(id)} is ${role} in term ${term} at ${commitIndex} of ${lastIndex} (${who}${transfer})`
}

const wantedOf = (state: ClusterState, partition: number): Placement | undefined => {
  if (partition === controllerPartition) return controllerPlacement(state)
  return state.wanted.get(partition)
}

const sameMembers = (a: readonly string[], b: readonly string[]): boolean =>
  [...a].sort().join() === [...b].sort().join()
const names = (ids: readonly string[]): string => ids.map(peerIdOf).join(', ') || 'nobody'

/** What is not the same on every replica and in every read model of a cluster that has converged. */
export function whatDiffers(init: ConvergenceInit): { readonly text: string; readonly about: About } | null {
  const { canon, nodes, partitions, queries } = init
  for (const node of nodes) {
    for (let partition = controllerPartition; partition <= partitions; partition += 1) {
      const text = whatLogDiffers(canon, node, partition)
      if (text !== null) return { text, about: { partition } }
    }
    const snapshot = whatStoreDiffers(init, node)
    if (snapshot !== null) return snapshot
    for (const query of queries) {
      const database = node.database(query.name)
      if (database === undefined)
        return { text: `query ${query.name} on ${node.peerId} has no database`, about: {} }
      const handled = handledBy(database)
      const parked = parkedBy(database)
      for (let partition = 1; partition <= partitions; partition += 1) {
        const due = dueTo(query, canon.events(partition)).length
        const counted = handled.get(partition) ?? 0
        const aside = parked.get(partition) ?? 0
        if (counted + aside === due) continue
        const text = `query ${query.name} on ${node.peerId} has handled ${counted} and parked ${aside} events of ${due}`
        return { text, about: { partition } }
      }
    }
  }
  return null
}

function whatLogDiffers(
  canon: Canon,
  { peerId, disk, parts }: SimulatedNode,
  partition: number,
): string | null {
  const status = parts?.engine.status(partition)
  if (status === undefined) return null
  const { voters, learners } = status.configuration
  if (![...voters, ...learners].includes(status.id)) return null
  const log = canon.log(partition)
  const last = log.at(-1)
  const hash = disk.durable.log(partition).hash(log.length)
  if (last === undefined || hash === undefined || sameBytes(hash, last.entry.hash)) return null
  return `the log of ${peerId} differs from the others at ${log.length} or before`
}

/** The rows and the snapshots of every aggregate that rests on this disk. */
function whatStoreDiffers(
  { canon, aggregates }: ConvergenceInit,
  { peerId, disk, parts }: SimulatedNode,
): { readonly text: string; readonly about: About } | null {
  for (const { key, partition, events, states } of canon.aggregates()) {
    if (parts?.isLocal(partition) !== true) continue
    const about = { partition, aggregate: nameOf(key) }
    const range = {
      partition,
      fromSequence: 1,
      throughIndex: canon.log(partition).length,
      limit: Number.MAX_SAFE_INTEGER,
    }
    const rows = disk.durable.readAggregate(key, range)
    if (
      rows.length !== events.length ||
      rows.some((row, place) => row.sequence !== place + 1 || row.data !== events[place]?.data)
    ) {
      return {
        text: `${peerId} holds ${rows.length} events of ${nameOf(key)}, not the ${events.length} that are committed`,
        about,
      }
    }
    const snapshot = disk.durable.latestSnapshot(key)
    if (snapshot === undefined || !aggregates.has(key.type)) continue
    const expected = JSON.parse(JSON.stringify(states[snapshot.sequence] ?? null)) as unknown
    if (!isDeepStrictEqual(JSON.parse(snapshot.state), expected)) {
      const text = `${peerId} holds a snapshot of ${nameOf(key)} at ${snapshot.sequence} that its events do not make: ${snapshot.state}`
      return { text, about }
    }
  }
  return null
}
