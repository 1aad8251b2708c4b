// Across aggregates: one query over several types, and a process that takes what one says to another.
import t from 'tap'
import { type Command, defineAggregate, defineProcess, defineQuery, send } from '../../src/index.ts'
import { bankAccount, deposit, eventually, open, startBank } from './bank-node.ts'

const audit = defineAggregate({
  type: 'audit',
  emptyState: { entries: 0 },
  handle: (_state, command: Command<'Note', { account: string; amount: number }>) => ({
    type: 'Noted',
    data: command.data,
  }),
  apply: state => ({ entries: state.entries + 1 }),
})

t.test('a query sees all types of aggregates, each event with its own', async t => {
  const perType = defineQuery({
    name: 'per_type',
    init: db => void db.exec('create table seen (type text not null)'),
    handle(_id, events, { db }) {
      for (const { aggregate } of events) db.prepare('insert into seen values (?)').run(aggregate.type)
    },
    answer: {
      count: db =>
        db
          .prepare<[], { type: string; n: number }>(
            'select type, count(*) as n from seen group by type order by type',
          )
          .all(),
    },
  })
  const node = await startBank(t, { aggregates: [audit], queries: [perType] })
  await node.execute(bankAccount, 'acc-1', open)
  await node.execute(bankAccount, 'acc-1', deposit(5))
  await node.execute(audit, 'all', { type: 'Note', data: { account: 'acc-1', amount: 5 } })
  const wanted = JSON.stringify([
    { type: 'audit', n: 1 },
    { type: 'bank_account', n: 2 },
  ])
  await eventually(
    async () => JSON.stringify(await node.query(perType, 'count', {})) === wanted,
    'all are seen',
  )
})

t.test('an event of one aggregate becomes a command to another, once', async t => {
  const noting = defineProcess({
    name: 'noting',
    filter: { eventTypes: ['CustomerDepositedCash'] },
    correlate: event => event.aggregate.id,
    emptyState: {},
    react: (_state, event) => [
      send('audit', 'all', {
        type: 'Note',
        data: { account: event.aggregate.id, ...(event.data as object) },
      }),
    ],
  })
  const node = await startBank(t, { aggregates: [audit], processes: [noting] })
  for (const id of ['acc-1', 'acc-2']) {
    await node.execute(bankAccount, id, open)
    await node.execute(bankAccount, id, deposit(7))
  }
  await eventually(async () => (await node.loadAggregate(audit, 'all')).sequence === 2, 'both are noted')
  const notes = await node.loadEvents(audit, 'all')
  t.strictSame(notes.map(({ data }) => [data.account, data.amount]).toSorted(), [
    ['acc-1', 7],
    ['acc-2', 7],
  ])
})
