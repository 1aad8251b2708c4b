// What became of the leaderships of this node's replicas, and why: kept for whoever asks, and told in the log.
// Elections come in crowds (a node that dies led many partitions), so that what happens together is told in one line.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { Role, RoleChange } from '../raft/raft.ts'

/** Changes that are kept of each partition: more than an election takes, enough for a bad night. */
const recordsMax = 24
/** What happens within this time is told together. */
const gatherMs = 250
/** Partitions that a line names one by one. */
const namedMax = 12

export interface RoleRecord {
  /** Wall time of this node. */
  readonly timeMs: number
  readonly role: Role
  readonly term: number
  /** Peer id. */
  readonly leader: string | null
  readonly reason: string
}

export interface RoleHistory {
  changed(partition: number, change: RoleChange): void
  /** Oldest first. */
  of(partition: number): readonly RoleRecord[]
  /** Tells what was gathered. */
  stop(): void
}

export function createRoleHistory(init: {
  readonly clock: Clock
  readonly log: Log
  /** For people; the records keep the peer ids. */
  readonly nameOf: (peerId: string) => string
}): RoleHistory {
  const { clock, log, nameOf } = init
  const records = new Map<number, RoleRecord[]>()
  /** By what is told: the partitions it is told of. */
  let gathered = new Map<string, { readonly tell: Telling; readonly partitions: number[] }>()
  let cancel: Cancel | undefined

  function flush(): void {
    cancel?.()
    cancel = undefined
    const told = gathered
    gathered = new Map()
    for (const { tell, partitions: unsorted } of told.values()) {
      const partitions = unsorted.toSorted((a, b) => a - b)
      const fields = { partitions, reason: tell.reason }
      log[tell.level](fields, `raft: ${tell.what} partition ${inShort(partitions)}: ${tell.reason}`)
    }
  }

  function gather(partition: number, tell: Telling): void {
    const key = `${tell.what}\n${tell.reason}`
    const before = gathered.get(key)
    if (before === undefined) gathered.set(key, { tell, partitions: [partition] })
    else before.partitions.push(partition)
    cancel ??= clock.after(gatherMs, flush)
  }

  return {
    changed(partition, { role, term, leader: leaderId, reason: given }) {
      const leader = leaderId === null ? null : peerIdOf(leaderId)
      const reason = inReplicas(given, peerId => peerId)
      const before = records.get(partition) ?? []
      const last = before.at(-1)
      // That a leader serves now is no change of leadership.
      if (last !== undefined && last.role === role && last.term === term && last.leader === leader) return
      records.set(partition, [
        ...before.slice(1 - recordsMax),
        { timeMs: clock.wallTime(), role, term, leader, reason },
      ])
      const tell = tellingOf(last?.role, { role, reason: inReplicas(given, nameOf) })
      if (tell !== undefined) gather(partition, tell)
    },
    of: partition => records.get(partition) ?? [],
    stop: flush,
  }
}

interface Telling {
  readonly level: 'info' | 'warn'
  readonly what: string
  readonly reason: string
}

function tellingOf(
  before: Role | undefined,
  now: { readonly role: Role; readonly reason: string },
): Telling | undefined {
  if (now.role === 'leader') {
    const reason = now.reason.replace(/^elected in term \d+: /, '')
    return { level: 'info', what: 'this node leads', reason }
  }
  if (before === 'leader') {
    const level = now.reason === 'lost its majority' ? 'warn' : 'info'
    return {
      level,
      what: 'this node no longer leads',
      reason: now.reason
        .replace(/^higher term \d+/, 'a higher term')
        .replace(/^following (.*)/, '$1 leads now'),
    }
  }
  if (now.role === 'follower' && now.reason.startsWith('refused by a majority'))
    return { level: 'info', what: 'this node was not elected in', reason: now.reason }
  return undefined
}

/** `peer/storage` is for machines. */
const inReplicas = (reason: string, say: (peerId: string) => string): string =>
  reason.replaceAll(/([^\s/]+)\/[0-9a-f-]{36}\b/g, (_, peerId: string) => say(peerId))

const inShort = (partitions: readonly number[]): string =>
  partitions.length <= namedMax
    ? partitions.join(', ')
    : `${partitions.slice(0, namedMax).join(', ')} and ${partitions.length - namedMax} more`
