// What the simulator runs when nobody gives it anything else: counters, a query that adds them up, and clients that add,
// look and ask; in some seeds also a process that counts what was added, and a handler that sees it.
import { defineAggregate, reject } from '../core/aggregate.ts'
import type { Command } from '../core/command.ts'
import type { DomainEvent } from '../core/event.ts'
import { defineQuery } from '../query/define-query.ts'
import { after, cancel, end, type ProcessAction, send } from '../reaction/actions.ts'
import { defineHandler } from '../reaction/define-handler.ts'
import { defineProcess } from '../reaction/define-process.ts'
import type { SimulatedClient } from './simulator/client.ts'

interface CounterState {
  readonly total: number
}

type Added = DomainEvent<'Added', { readonly by: number; readonly total: number }>

export const counter = defineAggregate<CounterState, Command, Added>({
  type: 'counter',
  emptyState: { total: 0 },
  snapshotEvery: 7,
  handle({ total }, command) {
    const { by } = command.data as { readonly by: number }
    if (by === 0) return []
    if (total + by < 0) return reject('below_zero', `the total is ${total}, asked to add ${by}`)
    const event = { type: 'Added', data: { by, total: total + by } } as const
    return command.type === 'AddTwice'
      ? [event, { type: 'Added', data: { by, total: total + 2 * by } }]
      : event
  },
  apply: (state, { data }) => {
    if (data.total !== state.total + data.by)
      throw new Error(`the total is ${state.total}, the event says ${data.total}`)
    return { total: data.total }
  },
})

export const totals = defineQuery<Added>({
  name: 'totals',
  init(db) {
    db.exec(
      'create table if not exists totals (id text primary key, events integer not null, total integer not null)',
    )
  },
  handle(id, events, { db }) {
    const write = db.prepare(
      `insert into totals values (?, 1, ?) on conflict do update set events = events + 1, total = total + excluded.total`,
    )
    for (const event of events) write.run(id, event.data.by)
  },
  answer: {
    total: (db, { id }: { readonly id: string }) =>
      db.prepare('select events, total from totals where id = ?').get(id) ?? { events: 0, total: 0 },
  },
})

interface TallyState {
  readonly count: number
}

/** It says no, yes, or nothing, and which of them depends on when it is asked. */
export const tally = defineAggregate<TallyState, Command, DomainEvent<'Counted', { readonly by: number }>>({
  type: 'tally',
  emptyState: { count: 0 },
  handle({ count }, command) {
    const { by } = command.data as { readonly by: number }
    if (count + by < 0) return reject('below_zero', `the count is ${count}, asked to add ${by}`)
    if (count % 4 === 3 && by % 2 === 0) return []
    return { type: 'Counted', data: { by } }
  },
  apply: ({ count }, { data }) => ({ count: count + data.by }),
})

export const echo = defineProcess<{ readonly told: number }, Added>({
  name: 'echo',
  filter: { aggregateTypes: ['counter'] },
  startFrom: 'beginning',
  // A few events for each instance.
  correlate: ({ aggregate, sequence, data }) =>
    data.by === 1 ? null : `${aggregate.id}-${Math.floor(sequence / 4)}`,
  emptyState: { told: 0 },
  react({ told }, { aggregate, data }) {
    const { by } = data
    const count = (id: string) => send('tally', id, { type: 'Count', data: { by } })
    const actions: ProcessAction[] = [count(aggregate.id)]
    if (by === 2 || by === 6) actions.push(after('2s', count('late'), { name: 'late' }))
    if (by === 3) actions.push(cancel('late'))
    if (by === 4) actions.push(after('300ms', [count('late'), count('later')]))
    if (by === 9) actions.push(end())
    return { state: { told: told + 1 }, do: actions }
  },
  rejected: () => [send('tally', 'refused', { type: 'Count', data: { by: 1 } })],
})

export const witness = defineHandler<Added>({
  name: 'witness',
  filter: { eventTypes: ['Added'] },
  startFrom: 'beginning',
  handle() {},
})

const ids = ['a', 'b', 'c', 'd']

export async function addLookAndAsk(client: SimulatedClient): Promise<void> {
  const { dice } = client
  const id = dice.pick(ids)
  const kind = dice.integer(1, 20)
  if (kind <= 13) {
    const by = dice.chance(0.1) ? 0 : dice.integer(-4, 9)
    const type = dice.chance(0.2) ? 'AddTwice' : 'Add'
    await client.execute('counter', id, { type, data: { by } }, { attempts: dice.pick([1, 2, 10]) })
  } else if (kind <= 17) {
    await client.load('counter', id)
  } else {
    const seen = client.seen('counter', id)
    const answer = (await client.query('totals', 'total', { id })) as { readonly events: number }
    client.expect(
      answer.events >= seen,
      `query totals answered with ${answer.events} events of counter/${id} to a client that had been told of ${seen}`,
    )
  }
}
