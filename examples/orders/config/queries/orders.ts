// A read model: where every order stands.
//
//   glyn-node query orders get id=order-1
//   glyn-node query orders count
import { defineQuery } from 'glyn-node'
import type { OrderEvent } from '../aggregates/order.ts'

const statusOf: Readonly<Record<OrderEvent['type'], string>> = {
  OrderPlaced: 'placed',
  OrderPaid: 'paid',
  OrderConfirmed: 'confirmed',
  OrderCancelled: 'cancelled',
}

export default defineQuery<OrderEvent>({
  name: 'orders',
  filter: { aggregateTypes: ['order'] },
  init(db) {
    db.exec('create table if not exists orders (id text primary key, status text not null)')
  },
  handle(id, events, { db }) {
    const write = db.prepare(
      'insert into orders values (?, ?) on conflict do update set status = excluded.status',
    )
    for (const event of events) write.run(id, statusOf[event.type])
  },
  answer: {
    get: (db, { id }: { readonly id: string }) =>
      db.prepare('select id, status from orders where id = ?').get(id),
    count: db =>
      db.prepare('select status, count(*) as orders from orders group by status order by status').all(),
  },
})
