// The order service: an order is placed, paid, and in the end confirmed or cancelled. It knows nothing of stock.
import { defineAggregate, reject } from 'glyn-node'

export interface Order {
  readonly status: 'none' | 'placed' | 'paid' | 'confirmed' | 'cancelled'
}

export type OrderCommand =
  | { type: 'PlaceOrder'; data: { sku: string; quantity: number } }
  | { type: 'PayOrder'; data: Record<string, never> }
  | { type: 'ConfirmOrder'; data: Record<string, never> }
  | { type: 'CancelOrder'; data: { reason: string } }

export type OrderEvent =
  | { type: 'OrderPlaced'; data: { sku: string; quantity: number } }
  | { type: 'OrderPaid'; data: Record<string, never> }
  | { type: 'OrderConfirmed'; data: Record<string, never> }
  | { type: 'OrderCancelled'; data: { reason: string } }

export default defineAggregate<Order, OrderCommand, OrderEvent>({
  type: 'order',
  emptyState: { status: 'none' },
  handle({ status }, command) {
    switch (command.type) {
      case 'PlaceOrder': {
        const { sku, quantity } = command.data
        if (status !== 'none') return reject('already_placed', 'this order is placed already')
        if (!(Number.isInteger(quantity) && quantity > 0))
          return reject('bad_quantity', `quantity is ${quantity}; allowed: a whole number above 0`)
        return { type: 'OrderPlaced', data: { sku, quantity } }
      }
      case 'PayOrder':
        if (status === 'placed') return { type: 'OrderPaid', data: {} }
        return reject('not_open', `an order that is ${status} cannot be paid`)
      case 'ConfirmOrder':
        if (status === 'paid') return { type: 'OrderConfirmed', data: {} }
        return reject('not_paid', `an order that is ${status} cannot be confirmed`)
      case 'CancelOrder':
        if (status === 'placed' || (status === 'paid' && command.data.reason === 'out of stock'))
          return { type: 'OrderCancelled', data: { reason: command.data.reason } }
        return reject('not_open', `an order that is ${status} cannot be cancelled`)
    }
  },
  apply(_order, event) {
    switch (event.type) {
      case 'OrderPlaced':
        return { status: 'placed' }
      case 'OrderPaid':
        return { status: 'paid' }
      case 'OrderConfirmed':
        return { status: 'confirmed' }
      case 'OrderCancelled':
        return { status: 'cancelled' }
    }
  },
})
