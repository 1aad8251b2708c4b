// The inventory service: what there is of one article, and for which orders it is set aside. It knows nothing of payment.
import { defineAggregate, reject } from 'glyn-node'

export interface Stock {
  readonly available: number
  /** Quantity by order. */
  readonly reserved: Readonly<Record<string, number>>
}

export type StockCommand =
  | { type: 'Restock'; data: { quantity: number } }
  | { type: 'Reserve'; data: { orderId: string; quantity: number } }
  | { type: 'Release'; data: { orderId: string } }

export type StockEvent =
  | { type: 'Restocked'; data: { quantity: number } }
  | { type: 'StockReserved'; data: { orderId: string; quantity: number } }
  | { type: 'StockReleased'; data: { orderId: string; quantity: number } }

export default defineAggregate<Stock, StockCommand, StockEvent>({
  type: 'stock',
  emptyState: { available: 0, reserved: {} },
  snapshotEvery: 100,
  handle({ available, reserved }, command) {
    switch (command.type) {
      case 'Restock':
        return { type: 'Restocked', data: { quantity: command.data.quantity } }
      case 'Reserve': {
        const { orderId, quantity } = command.data
        if (available < quantity)
          return reject('out_of_stock', `${available} are there, asked for ${quantity}`, { available })
        return { type: 'StockReserved', data: { orderId, quantity } }
      }
      case 'Release': {
        const { orderId } = command.data
        const quantity = reserved[orderId]
        if (quantity === undefined) return reject('not_reserved', `nothing is reserved for ${orderId}`)
        return { type: 'StockReleased', data: { orderId, quantity } }
      }
    }
  },
  apply({ available, reserved }, event) {
    switch (event.type) {
      case 'Restocked':
        return { available: available + event.data.quantity, reserved }
      case 'StockReserved': {
        const { orderId, quantity } = event.data
        return { available: available - quantity, reserved: { ...reserved, [orderId]: quantity } }
      }
      case 'StockReleased': {
        const { [event.data.orderId]: quantity = 0, ...others } = reserved
        return { available: available + quantity, reserved: others }
      }
    }
  },
})
