// What is degraded, and what to do about it: a line of words for each. Empty when all is well.
import { controllerPartition } from '../core/partition-of.ts'
import { peerIdOf } from '../core/replica-id.ts'
import { remedyOf } from '../partition/quarantine.ts'
import { durationInWords } from './duration-in-words.ts'
import { inShort } from './in-short.ts'
import { isNearlyFull } from './nearly-full.ts'
import { memberStatuses, partitionStatuses, type StatusSources } from './node-status.ts'
import { movesOf } from './placement-status.ts'

/** A replica or a query that is further behind is named. */
const entriesBehindMax = 10_000

/** `only`: of this partition alone, and of nothing else. */
export function problemsOf(sources: StatusSources, only?: number): string[] {
  const partitions = partitionStatuses(sources).filter(({ id }) => only === undefined || id === only)
  const ofPartitions = [
    ...leaderless(sources, partitions),
    ...thin(sources, partitions),
    ...behind(sources, partitions),
  ]
  const moves = movesOf(sources).filter(({ partition }) => only === undefined || partition === only)
  if (moves.length > 0) {
    const moving = [...new Set(moves.map(({ partition }) => partition))]
    ofPartitions.push(
      `replicas of partition ${inShort(moving)} are on their way to their wanted places; nothing to do`,
    )
  }
  if (only !== undefined) return ofPartitions
  return [
    ...ofThisNode(sources),
    ...ofMembers(sources),
    ...ofPartitions,
    ...ofQueries(sources),
    ...ofReactions(sources),
    ...ofQuarantine(sources),
    ...sources.historyProblems,
    ...sources.pluginProblems,
  ]
}

function ofThisNode({ failure, noContact, disk }: StatusSources): string[] {
  const problems: string[] = []
  if (failure !== undefined) {
    problems.push(
      `this node is stopping, because its store failed: ${failure.message}. Cure the disk and start it again; what was acknowledged is on the others`,
    )
  }
  if (noContact !== null) problems.push(noContact)
  if (disk !== null && isNearlyFull(disk)) {
    const free = `${Math.round(disk.freeBytes / 1024 ** 2)} MiB of ${Math.round(disk.totalBytes / 1024 ** 2)} MiB`
    problems.push(
      `the disk of ${disk.path} is nearly full, ${free} are free: make room or enlarge it. When it is full this node hands over what it leads, and stops`,
    )
  }
  return problems
}

function ofMembers(sources: StatusSources): string[] {
  return memberStatuses(sources).flatMap(
    ({ name, peerId, state, reachable, unreachableSince, lastWords }) => {
      if (state === 'removed') return []
      if (!reachable) {
        const forMs = sources.nowMs - Date.parse(unreachableSince ?? '')
        return [
          `node ${name} (${peerId}) cannot be reached, for ${durationInWords(forMs)}${lastWords === null ? '' : ` (it said: ${lastWords})`}: start it again, or, if it never comes back, glyn-node members remove ${peerId}`,
        ]
      }
      if (state === 'draining')
        return [`node ${name} (${peerId}) is leaving: its replicas move to others first; nothing to do`]
      return []
    },
  )
}

type Partitions = ReturnType<typeof partitionStatuses>

function leaderless(sources: StatusSources, partitions: Partitions): string[] {
  const problems: string[] = []
  /** By what is missing: partitions with the same missing voters share a line. */
  const groups = new Map<string, number[]>()
  for (const { id, leader } of partitions) {
    const missing = sources.missingOf(id)
    // The last leader that is known of may be one of those that are gone.
    if (leader !== null && missing?.hasMajority !== false) continue
    if (id === controllerPartition) {
      const who = missing === null ? '' : `: ${missing.text}`
      problems.push(
        `the controller has no leader${who}. Data partitions work on; changes (nodes that join, leave or are removed, and placement) wait. Start the voters that are missing`,
      )
      continue
    }
    const who = missing === null || missing.hasMajority ? '' : namesOf(missing.missing)
    groups.set(who, [...(groups.get(who) ?? []), id])
  }
  for (const [who, ids] of groups) {
    problems.push(
      who === ''
        ? `no leader is known for partition ${inShort(ids)}: an election lasts a second or two; if this stays, look at the logs of its replicas`
        : `no leader is known for partition ${inShort(ids)}, and no majority of the voters can be reached: commands wait for ${who}. Start them; if they never come back, see glyn-node recover --help`,
    )
  }
  return problems
}

/** Led, with a voter missing: one more, and it stops. */
function thin(sources: StatusSources, partitions: Partitions): string[] {
  const groups = new Map<string, number[]>()
  for (const { id, leader, voters } of partitions) {
    const missing = leader === null || voters.length < 3 ? null : sources.missingOf(id)
    if (missing?.hasMajority !== true) continue
    const who = namesOf(missing.missing)
    groups.set(who, [...(groups.get(who) ?? []), id])
  }
  return [...groups].map(
    ([who, ids]) =>
      `partition ${inShort(ids)} works with fewer replicas than it should have, without ${who}: see above`,
  )
}

/** As far as this node leads: only a leader knows how far the others are. */
function behind(sources: StatusSources, partitions: Partitions): string[] {
  const groups = new Map<string, { partitions: number[]; most: number }>()
  for (const { id } of partitions) {
    const status = sources.statusOf(id)
    if (status === undefined || status.role !== 'leader') continue
    for (const { id: replica, match, active } of status.progress) {
      const entries = status.lastIndex - match
      if (!active || entries <= entriesBehindMax) continue
      const name = sources.state.nodes.get(peerIdOf(replica))?.name ?? peerIdOf(replica)
      const group = groups.get(name) ?? { partitions: [], most: 0 }
      groups.set(name, { partitions: [...group.partitions, id], most: Math.max(group.most, entries) })
    }
  }
  return [...groups].map(
    ([name, group]) =>
      `the replica on ${name} of partition ${inShort(group.partitions)} is up to ${group.most} entries behind: it catches up by itself; glyn-node explain shows how far it is`,
  )
}

/** Aggregates named one by one. */
const quarantinedNamedMax = 3

function ofQuarantine({ quarantined: { count, first } }: StatusSources): string[] {
  const [one] = first
  if (one === undefined) return []
  const named = first.slice(0, quarantinedNamedMax)
  const names = named.map(
    ({ aggregate, sequence, eventType, version }) =>
      `${aggregate.type}/${aggregate.id} (event ${sequence}, ${eventType} v${version})`,
  )
  const more = count > named.length ? ` and ${count - named.length} more` : ''
  return [
    `${count === 1 ? '1 aggregate is' : `${count} aggregates are`} quarantined, and takes no commands: ${names.join(', ')}${more}. ` +
      `${one.reason}: ${remedyOf(one)}. glyn-node doctor --deep finds all of them`,
  ]
}

function ofReactions({ reactions }: StatusSources): string[] {
  return reactions.flatMap(({ kind, name, state, lag, lastError }) => {
    if (state === 'running' || state === 'loading') return []
    const why = lastError === null ? '' : `: ${lastError.message}`
    const what =
      state === 'stopped'
        ? 'is stopped on a partition that this node leads; cure it and start the node again'
        : state === 'failed'
          ? 'does not load; cure its file'
          : `is not getting on, and is tried again, ${lag} entries behind`
    return [`${kind} ${name} ${what}${why}`]
  })
}

function ofQueries(sources: StatusSources): string[] {
  const parked = sources.queries.flatMap(({ name, parked, held }) => {
    if (parked + held === 0) return []
    const behind = held === 0 ? '' : `, and ${held} are held back behind them`
    return [
      `query ${name} has parked ${parked} entries that it failed at${behind}: glyn-node queries parked ${name}; then retry or drop them`,
    ]
  })
  return [...troubles(sources), ...parked]
}

function troubles({ queries }: StatusSources): string[] {
  return queries.flatMap(({ name, state, lag, lastError, building }) => {
    const why = lastError === null ? '' : `: ${lastError.message}`
    const trouble = building?.lastError?.message
    if (
      trouble !== undefined &&
      (building?.state === 'failed' || building?.state === 'stopped' || building?.state === 'retrying')
    )
      return [
        `query ${name}: its new version does not get further: ${trouble}. The old one goes on; correct the file`,
      ]
    if (state === 'paused')
      return [`query ${name} is paused, ${lag} entries behind: glyn-node queries resume ${name}`]
    if (state === 'failed')
      return [`query ${name} does not load${why}. Correct its file; it is tried again by itself`]
    if (state === 'retrying')
      return [`query ${name} is retrying${why}. Correct its code or what it needs; it goes on where it was`]
    if (state === 'stopped')
      return [`query ${name} is stopped${why}. Correct its file; it starts again when that changes`]
    if (lag > entriesBehindMax)
      return [
        `query ${name} is ${lag} entries behind: it catches up; if this grows, its handle is slower than the commands`,
      ]
    return []
  })
}

const namesOf = (missing: readonly { readonly name: string }[]): string =>
  missing.map(({ name }) => name).join(', ')
