// From a placed order to a confirmed or a cancelled one: reserves stock, waits for the payment, and not for ever.
import { after, cancel, defineProcess, end, send } from 'glyn-node'
import type { OrderEvent } from '../aggregates/order.ts'
import type { StockEvent } from '../aggregates/stock.ts'

interface Fulfilment {
  readonly sku: string
  readonly stock: 'asked' | 'reserved'
  readonly isPaid: boolean
  readonly isCancelled: boolean
}

/** Every node of a cluster should have the same. */
const paymentTimeout = process.env['PAYMENT_TIMEOUT'] ?? '15m'

export default defineProcess<Fulfilment, OrderEvent | StockEvent>({
  name: 'fulfilment',
  filter: { aggregateTypes: ['order', 'stock'] },

  // One instance for each order.
  correlate(event) {
    if (event.aggregate.type === 'order') return event.aggregate.id
    return event.type === 'StockReserved' ? event.data.orderId : null
  },

  emptyState: { sku: '', stock: 'asked', isPaid: false, isCancelled: false },

  react(state, event) {
    switch (event.type) {
      case 'OrderPlaced': {
        const { id: orderId } = event.aggregate
        const { sku, quantity } = event.data
        const unpaid = send('order', orderId, { type: 'CancelOrder', data: { reason: 'not paid in time' } })
        return {
          state: { ...state, sku },
          do: [
            send('stock', sku, { type: 'Reserve', data: { orderId, quantity } }),
            after(paymentTimeout, unpaid, { name: 'payment' }),
          ],
        }
      }
      case 'StockReserved': {
        const { orderId } = event.data
        // The order was cancelled while the stock was on its way.
        if (state.isCancelled) return [release(state.sku, orderId), end()]
        return { state: { ...state, stock: 'reserved' }, do: state.isPaid ? [confirm(orderId)] : [] }
      }
      case 'OrderPaid':
        return {
          state: { ...state, isPaid: true },
          do: [cancel('payment'), ...(state.stock === 'reserved' ? [confirm(event.aggregate.id)] : [])],
        }
      case 'OrderCancelled':
        if (state.stock === 'reserved') return [release(state.sku, event.aggregate.id), end()]
        return { state: { ...state, isCancelled: true }, do: [cancel('payment')] }
      case 'OrderConfirmed':
        return [end()]
      default:
        return
    }
  },

  // Events tell what became of an order; only a refused reservation is news.
  rejected(state, { command }) {
    if (command.type !== 'Reserve') return
    if (state.isCancelled) return [end()]
    const { orderId } = command.data as { orderId: string }
    return [send('order', orderId, { type: 'CancelOrder', data: { reason: 'out of stock' } }), end()]
  },
})

const confirm = (orderId: string) => send('order', orderId, { type: 'ConfirmOrder' })
const release = (sku: string, orderId: string) => send('stock', sku, { type: 'Release', data: { orderId } })
