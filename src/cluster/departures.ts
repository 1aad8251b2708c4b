// Ends what `leave` began: once nothing is left on a draining node, the controller's leader removes it. Whoever leads the
// controller does it, from the log alone, so that a crash of the leaving node or of a leader only delays it.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { controllerPartition } from '../core/partition-of.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { ClusterState } from './cluster-state.ts'
import type { ControllerLog } from './controller-log.ts'
import type { Seats, SeatTable } from './seats.ts'

/** How often the leaders are asked whom they still seat. */
const lookMs = 200
const submitTimeoutMs = 5000

export interface Departures {
  start(): void
  stop(): void
}

export function createDepartures(init: {
  readonly clock: Clock
  readonly log: Log
  readonly controller: ControllerLog
  readonly seats: Seats
}): Departures {
  const { clock, log, controller, seats } = init
  let cancel: Cancel = () => {}
  let isStopped = false

  async function look(): Promise<void> {
    if (!controller.isLeader()) return
    const isDraining = [...controller.state().nodes.values()].some(({ state }) => state === 'draining')
    if (!isDraining) return
    const table = await seats.gather()
    const gone = [...controller.state().nodes.values()].find(
      node => node.state === 'draining' && hasLeft(controller.state(), table, node.peerId),
    )
    if (gone === undefined || !controller.isLeader()) return
    const { peerId } = gone
    await controller.submit({ type: 'remove-node', peerId, isLeaving: true }, { timeoutMs: submitTimeoutMs })
    if (controller.state().nodes.get(peerId)?.state !== 'removed') return
    log.info({ peer: peerId, name: gone.name }, 'cluster: a node has left')
  }

  function schedule(): void {
    cancel = clock.after(lookMs, () => {
      look()
        .catch((error: unknown) =>
          log.warn(
            { error: String(error) },
            'cluster: a node that leaves could not be removed; trying again',
          ),
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

/** Every group's leader says, from a committed configuration, that this node has no seat. Never on a doubt. */
function hasLeft(state: ClusterState, table: SeatTable, peerId: string): boolean {
  const partitions = state.settings?.partitions
  if (partitions === undefined) return false
  for (let partition = controllerPartition; partition <= partitions; partition += 1) {
    const seating = table.get(partition)?.find(({ isSure }) => isSure)
    if (seating === undefined) return false
    const { voters, learners } = seating.configuration
    // It hears the controller's log to the last, and so of its own removal.
    const seated = partition === controllerPartition ? voters : [...voters, ...learners]
    if (seated.some(id => peerIdOf(id) === peerId)) return false
  }
  return true
}
