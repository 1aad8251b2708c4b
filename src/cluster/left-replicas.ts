// Replicas that moved away: their leader does not write to them any more, so nobody tells them that they are gone. This
// node asks, and sets them at rest: no ticks, no elections, no place in `status`. Their rows stay, and so do their term
// and vote; a leader that writes to such a replica again finds it as it was.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { controllerPartition } from '../core/partition-of.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import type { RaftStatus } from '../raft/raft.ts'
import type { ClusterState } from './cluster-state.ts'
import type { Seating, Seats } from './seats.ts'

const lookMs = 1000

export interface LeftReplicas {
  start(): void
  stop(): void
}

export function createLeftReplicas(init: {
  readonly clock: Clock
  readonly log: Log
  readonly self: ReplicaId
  readonly state: () => ClusterState
  readonly seats: Seats
  readonly partitions: () => readonly number[]
  readonly statusOf: (partition: number) => RaftStatus | undefined
  readonly rest: (partition: number) => void
}): LeftReplicas {
  const { clock, log, self, seats } = init
  let cancel: Cancel = () => {}
  let isStopped = false

  const isUnwanted = (partition: number): boolean => {
    const wanted = init.state().wanted.get(partition)
    if (partition === controllerPartition || wanted === undefined) return false
    return !wanted.voters.includes(self) && !wanted.learners.includes(self)
  }

  async function look(): Promise<void> {
    if (!init.partitions().some(isUnwanted)) return
    const table = await seats.gather()
    for (const partition of init.partitions().filter(isUnwanted)) {
      const status = init.statusOf(partition)
      const seating = table.get(partition)?.find(({ isSure }) => isSure)
      if (status === undefined || seating === undefined || !isGone(status, seating)) continue
      init.rest(partition)
      log.info(
        { partition, leader: seating.leader, index: seating.index },
        'cluster: a replica moved away from here',
      )
    }
  }

  function schedule(): void {
    cancel = clock.after(lookMs, () => {
      look()
        .catch((error: unknown) =>
          log.warn({ error: String(error) }, 'cluster: replicas that moved away could not be looked after'),
        )
        .finally(() => {
          if (!isStopped) schedule()
        })
    })
  }

  return {
    start: schedule,
    stop() {
      isStopped = true
      cancel()
    },
  }
}

/**
 * A committed configuration does not name this replica, and it has no later one: it was not taken back since. Entries of
 * its own beyond that, from when it led alone, are of no use to anybody. What is committed stays so, whether or not the
 * leader that says it is still the leader.
 */
function isGone(status: RaftStatus, { configuration, index }: Seating): boolean {
  const { voters, learners } = configuration
  const isNothingNewer = status.configurationIndex <= index
  return status.role !== 'leader' && isNothingNewer && ![...voters, ...learners].includes(status.id)
}
