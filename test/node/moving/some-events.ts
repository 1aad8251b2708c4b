// Envelopes as a store has them: several aggregates in several partitions, some commands with more than one event.
import type { EventEnvelope } from '../../../src/core/event.ts'
import type { EventSource } from '../../../src/node/moving/event-source.ts'

export interface SomeEvents {
  readonly commands: number
  readonly partitions?: number
  /** Of the n-th command. */
  readonly data?: (n: number) => unknown
}

/** Two events for every third command; partition by partition. */
export function someEvents({ commands, partitions = 2, data = n => ({ n }) }: SomeEvents): EventEnvelope[] {
  const events: EventEnvelope[] = []
  for (let partition = 1; partition <= partitions; partition += 1) {
    const sequences = new Map<string, number>()
    for (let n = 0; n < commands; n += 1) {
      const aggregate = { type: n % 2 === 0 ? 'counter' : 'kännu:/', id: `p${partition}-${n % 5}` }
      for (let event = 0; event < (n % 3 === 0 ? 2 : 1); event += 1) {
        const key = `${aggregate.type}/${aggregate.id}`
        const sequence = (sequences.get(key) ?? 0) + 1
        sequences.set(key, sequence)
        events.push({
          id: `${key}/${sequence}`,
          aggregate,
          sequence,
          position: { partition, index: n * 2 + 2 },
          type: n % 7 === 0 ? 'Weird\u0085 "type"' : 'Added',
          version: 1 + (n % 2),
          data: data(n),
          metadata: n % 4 === 0 ? { trace: 'a\u0085b\ufffe"\\\n\ud83d\ude00', empty: '' } : {},
          commandId: `c-${partition}-${n}`,
          time: new Date(1_700_000_000_000 + n).toISOString(),
        })
      }
    }
  }
  return events
}

/** A source of these events. `after` so many it is cut: the connection is lost, say. */
export function sourceOf(
  events: readonly EventEnvelope[],
  options: { readonly after?: number; readonly reason?: Error; readonly history?: string } = {},
): EventSource {
  const { after = Number.POSITIVE_INFINITY, reason = new Error('lost'), history = 'cluster-1' } = options
  return {
    history,
    scope: 'my scope',
    partitions: 2,
    heads: new Map([
      [1, 1000],
      [2, 1000],
    ]),
    async *events({ from, types }) {
      const positions = new Map(
        from
          .split(',')
          .flatMap(part => (part === '' ? [] : [part.split(':').map(Number) as [number, number]])),
      )
      let count = 0
      for (const event of events) {
        if (event.position.index <= (positions.get(event.position.partition) ?? 0)) continue
        if (types !== null && !types.includes(event.aggregate.type)) continue
        if (count === after) throw reason
        count += 1
        yield event
      }
    },
    remarks: () => [],
  }
}
