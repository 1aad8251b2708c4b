// When all is healed, people have what is parked handled again, on every node: nothing may be left then.
import type { AnyQuery } from '../../query/define-query.ts'
import type { ParkedOutcome } from '../../query/parked-operations.ts'
import type { SimulatedNode } from './simulated-node.ts'

const retryTimeoutMs = 30_000

/** Resolves when all nodes have answered. `violated` hears of everything that is not well. */
export async function retryParked(init: {
  readonly nodes: readonly SimulatedNode[]
  readonly queries: readonly AnyQuery[]
  readonly violated: (text: string) => void
  readonly tell: (text: string) => void
}): Promise<void> {
  const parking = init.queries.filter(({ onError }) => onError === 'park')
  const retry = async ({ peerId, running }: SimulatedNode, { name }: AnyQuery): Promise<void> => {
    if (running === undefined) return
    const ask = { kind: 'retry', timeoutMs: retryTimeoutMs } as const
    try {
      const outcome = (await running.queries.ask(name, 'retry', { all: true }, ask)) as ParkedOutcome
      const { handled, failed, counts } = outcome
      if (handled > 0) init.tell(`${peerId} handles ${handled} parked entries of query ${name} again`)
      if (failed.length + counts.failed + counts.held === 0) return
      const why = failed[0]?.message ?? 'nobody knows why'
      init.violated(
        `query ${name} on ${peerId} keeps ${counts.failed} + ${counts.held} parked entries: ${why}`,
      )
    } catch (error) {
      init.violated(`query ${name} on ${peerId} cannot handle again what is parked: ${String(error)}`)
    }
  }
  await Promise.all(init.nodes.flatMap(node => parking.map(query => retry(node, query))))
}
