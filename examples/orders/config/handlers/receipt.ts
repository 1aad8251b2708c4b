// A receipt for every confirmed order. A real one would call a mail service, and hand it the key: an event that comes again
// after a crash has the same key, and the service sends nothing twice.
import { defineHandler } from 'glyn-node'
import type { OrderEvent } from '../aggregates/order.ts'

export default defineHandler<OrderEvent>({
  name: 'receipt',
  filter: { aggregateTypes: ['order'], eventTypes: ['OrderConfirmed'] },
  handle({ aggregate }, { idempotencyKey }) {
    process.stdout.write(`receipt for order ${aggregate.id} (key ${idempotencyKey})\n`)
  },
})
