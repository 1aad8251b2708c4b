// Counts of a node: what rests on its disk, and what was asked of it since it runs.
import type { Outcome } from '../core/outcome.ts'
import { isSystemType } from '../core/system-types.ts'
import type { QueryStatus } from '../query/query.ts'
import type { LocalStore } from '../store/store.ts'
import type { SystemStats } from './inspection.ts'
import type { NodeStatus } from './node-api.ts'

/** Counts how calls end, and lets their outcome through. */
export interface CallCounts {
  command(call: Promise<Outcome>): Promise<Outcome>
  question(call: Promise<unknown>): Promise<unknown>
  commands(): Omit<SystemStats['commands'], 'pending'>
  questions(): Pick<SystemStats['queries'], 'answered' | 'failed'>
}

export function createCallCounts(): CallCounts {
  const commands = { accepted: 0, replayed: 0, rejected: 0, failed: 0 }
  const questions = { answered: 0, failed: 0 }
  return {
    async command(call) {
      try {
        const outcome = await call
        if (outcome.type === 'rejected') commands.rejected += 1
        else if (outcome.replayed) commands.replayed += 1
        else commands.accepted += 1
        return outcome
      } catch (error) {
        commands.failed += 1
        throw error
      }
    },
    async question(call) {
      try {
        const answer = await call
        questions.answered += 1
        return answer
      } catch (error) {
        questions.failed += 1
        throw error
      }
    },
    commands: () => ({ ...commands }),
    questions: () => ({ ...questions }),
  }
}

export function systemStats(facts: {
  readonly node: Omit<SystemStats['node'], 'memoryBytes'>
  readonly store: LocalStore
  /** Data partitions with a replica here. */
  readonly partitions: number
  readonly counts: CallCounts
  readonly pending: number
  readonly queries: readonly QueryStatus[]
  readonly status: Pick<NodeStatus, 'members' | 'partitions' | 'quarantined'>
}): SystemStats {
  const { node, store, counts, queries, status } = facts
  const { events, entries, bytes, commits } = store.statistics()
  const members = status.members.filter(({ state }) => state !== 'removed')
  return {
    node: { ...node, memoryBytes: process.memoryUsage.rss() },
    store: {
      location: store.location,
      partitions: facts.partitions,
      events,
      entries,
      bytes,
      commits,
      aggregates: aggregatesByType(store),
    },
    commands: { ...counts.commands(), pending: facts.pending },
    queries: {
      total: queries.length,
      running: queries.filter(({ state }) => state === 'running').length,
      lagMax: Math.max(0, ...queries.map(({ lag }) => lag)),
      ...counts.questions(),
    },
    mesh: {
      members: members.length,
      connected: members.filter(({ peerId, reachable }) => reachable && peerId !== node.peerId).length,
      leads: status.partitions.filter(({ id, leader }) => id > 0 && leader === node.peerId).length,
    },
    quarantined: status.quarantined.count,
  }
}

function aggregatesByType(store: LocalStore): SystemStats['store']['aggregates'] {
  const kinds = store.eventKinds().filter(({ aggregateType }) => !isSystemType(aggregateType))
  return [...Map.groupBy(kinds, ({ aggregateType }) => aggregateType)].map(([type, ofType]) => ({
    type,
    aggregates: ofType.reduce((sum, kind) => sum + kind.aggregates, 0),
    events: ofType.reduce((sum, kind) => sum + kind.events, 0),
    kinds: ofType.map(({ eventType, version, events }) => ({ type: eventType, version, events })),
  }))
}
