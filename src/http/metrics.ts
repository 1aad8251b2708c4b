// Prometheus metrics of the process, of its HTTP calls and of its node.
import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Outcome } from '../core/outcome.ts'
import type { NodeApi } from '../node/node-api.ts'

export interface Metrics {
  /** Counts and times the calls of a server. */
  observe(app: FastifyInstance): void
  countCommand(result: Outcome['type'] | 'failed'): void
  /** The exposition format of Prometheus. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>
  close(): void
}

/** A registry of its own: two servers in one process do not meet. */
export function createMetrics(findNode: () => NodeApi | null): Metrics {
  const registers = [new Registry()] as const
  collectDefaultMetrics({ register: registers[0] })
  const commands = new Counter({
    name: 'glyn_commands_total',
    help: 'Commands answered over HTTP, by result',
    labelNames: ['result'] as const,
    registers: [...registers],
  })
  const calls = new Histogram({
    name: 'glyn_http_request_seconds',
    help: 'Duration of HTTP calls, by route and status',
    labelNames: ['route', 'status'] as const,
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers: [...registers],
  })
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]): Gauge<Label> =>
    new Gauge({ name, help, labelNames, registers: [...registers] })
  const ready = gauge('glyn_ready', '1 when the node takes commands')
  const leads = gauge('glyn_partitions_led', 'Partitions this node leads')
  const leaderless = gauge('glyn_partitions_without_leader', 'Partitions without a leader this node knows of')
  const members = gauge('glyn_members', 'Members of the cluster, by reachability', 'reachable')
  const lag = gauge('glyn_query_lag_entries', 'Committed entries that a query has not seen', 'query')
  const parked = gauge('glyn_query_parked_entries', 'Entries that a query failed at and put aside', 'query')
  const held = gauge('glyn_query_held_entries', 'Entries held back behind parked ones', 'query')
  const messages = gauge(
    'glyn_query_messages',
    'Messages to a query since the node runs: handled, failed, dropped',
    'query',
    'result',
  )
  const quarantined = gauge(
    'glyn_aggregates_quarantined',
    'Aggregates met since the node runs whose history does not fit their file',
  )
  const behind = gauge(
    'glyn_reaction_lag_entries',
    'Committed entries of the partitions led here that a handler or a process has not done',
    'kind',
    'name',
  )
  const timers = gauge(
    'glyn_process_timers',
    'Timers of the partitions led here that are not due yet',
    'name',
  )

  const readNode = async (): Promise<void> => {
    const node = findNode()
    ready.set(node === null ? 0 : 1)
    if (node === null) return
    const status = await node.status()
    leads.set(status.partitions.filter(partition => partition.leader === node.peerId).length)
    leaderless.set(status.partitions.filter(partition => partition.leader === null).length)
    // Those that were removed are nobody's loss.
    const present = status.members.filter(({ state }) => state !== 'removed')
    for (const isReachable of [true, false]) {
      const count = present.filter(member => member.reachable === isReachable).length
      members.set({ reachable: String(isReachable) }, count)
    }
    for (const each of [lag, parked, held, messages]) each.reset()
    for (const query of status.queries) {
      lag.set({ query: query.name }, query.lag)
      parked.set({ query: query.name }, query.parked)
      held.set({ query: query.name }, query.held)
      for (const [result, count] of Object.entries(query.messages ?? {}))
        messages.set({ query: query.name, result }, count)
    }
    quarantined.set(status.quarantined.count)
    behind.reset()
    timers.reset()
    for (const reaction of status.reactions) {
      const { kind, name } = reaction
      behind.set({ kind, name }, reaction.lag)
      if (kind === 'process') timers.set({ name }, reaction.timers)
    }
  }

  return {
    observe(app) {
      app.addHook('onResponse', async (request, reply) => {
        const route = request.routeOptions.url ?? 'none'
        calls.observe({ route, status: String(reply.statusCode) }, reply.elapsedTime / 1000)
      })
    },
    countCommand(result) {
      commands.inc({ result })
    },
    async expose() {
      await readNode()
      return { contentType: registers[0].contentType, text: await registers[0].metrics() }
    },
    close() {
      registers[0].clear()
    },
  }
}
