// A node that serves, as its clients call it: the same way to the leader as `createNode` goes.
import type { ClusterSettings } from '../../cluster/cluster-state.ts'
import type { Clock } from '../../core/clock.ts'
import type { CommandEnvelope } from '../../core/command.ts'
import type { Outcome } from '../../core/outcome.ts'
import { partitionOf } from '../../core/partition-of.ts'
import type { NodeParts } from '../../node/node-parts.ts'
import type { LoadedState } from '../../partition/aggregate-host.ts'
import type { QueryHost } from '../../query/query-host.ts'

export interface RunningNode {
  readonly parts: NodeParts
  readonly clock: Clock
  readonly settings: ClusterSettings
  readonly queries: QueryHost
  execute(envelope: CommandEnvelope, options: { readonly timeoutMs: number }): Promise<Outcome>
  load(
    aggregate: { readonly type: string; readonly id: string },
    options: { readonly timeoutMs: number },
  ): Promise<LoadedState>
}

/** The calls of a client, as `createNode` answers them. */
export function createRunningNode(
  init: Pick<RunningNode, 'parts' | 'clock' | 'settings' | 'queries'>,
): RunningNode {
  const { parts, settings } = init
  return {
    ...init,
    execute(envelope, { timeoutMs }) {
      const partition = partitionOf(envelope.aggregate, settings.partitions)
      return parts.router.route({
        partition,
        timeoutMs,
        here: () => parts.host.execute(partition, envelope),
        there: (peer, attempt) => parts.remote.execute(peer, partition, envelope, attempt.timeoutMs),
      })
    },
    load(aggregate, { timeoutMs }) {
      const partition = partitionOf(aggregate, settings.partitions)
      return parts.router.route({
        partition,
        timeoutMs,
        here: () => parts.host.load(partition, aggregate),
        there: (peer, attempt) => parts.remote.load(peer, partition, aggregate, attempt.timeoutMs),
      })
    },
  }
}
