// A read model: the balance of every account, in a SQLite table of its own.
//
//   glyn-node query balance get id=acc-1
//   glyn-node query balance top limit:=3
//   glyn-node query balance total
import { defineQuery, type EnvelopesOf } from 'glyn-node'
import type bankAccount from '../aggregates/bank-account.ts'

export interface Balance {
  readonly id: string
  readonly amount: number
  readonly status: 'open' | 'closed'
}

// `node.query(balance, 'top', { limit: 3 })` knows what it may ask and what it is told.
export default defineQuery({
  name: 'balance',
  version: 1,
  filter: { aggregateTypes: ['bank_account'] },

  init(db) {
    db.exec(`
      create table if not exists balance (id text primary key, amount real not null, status text not null) strict;
      create index if not exists balance_by_amount on balance (amount desc);
    `)
  },

  // Runs in the transaction that also remembers how far this query is: each event counts exactly once.
  handle(aggregateId, events: readonly EnvelopesOf<typeof bankAccount>[], { db }) {
    const open = db.prepare(
      `insert into balance (id, amount, status) values (?, 0, 'open')
       on conflict (id) do update set amount = 0, status = 'open'`,
    )
    const move = db.prepare('update balance set amount = amount + ? where id = ?')
    const close = db.prepare(`update balance set status = 'closed' where id = ?`)
    for (const event of events) {
      switch (event.type) {
        case 'AccountOpened':
          open.run(aggregateId)
          break
        case 'CustomerDepositedCash':
          move.run(event.data.amount, aggregateId)
          break
        case 'CustomerWithdrewCash':
          move.run(-event.data.amount, aggregateId)
          break
        case 'AccountClosed':
          close.run(aggregateId)
          break
      }
    }
  },

  // The result is the answer, as JSON. An account that does not exist gives null.
  answer: {
    get: (db, { id }: { id: string }) =>
      db.prepare<[string], Balance>('select id, amount, status from balance where id = ?').get(String(id)) ??
      null,
    top: (db, { limit }: { limit?: number }) =>
      db
        .prepare<[number], Balance>('select id, amount, status from balance order by amount desc, id limit ?')
        .all(Number(limit ?? 10)),
    total: db =>
      db
        .prepare<[], { accounts: number; amount: number }>(
          'select count(*) as accounts, total(amount) as amount from balance',
        )
        .get(),
  },
})
