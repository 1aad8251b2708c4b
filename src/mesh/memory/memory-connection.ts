// One connection between two peers of a memory network: a lane per direction and purpose, each in order.
import type { MemoryConnection, NetworkView } from './network-view.ts'

interface Lane {
  readonly waiting: { readonly dueMs: number; readonly bytes: number; readonly arrive: () => void }[]
  bytes: number
  /** Invariant: nothing on a lane is due before what was sent earlier. */
  lastDueMs: number
  isArmed: boolean
}

export function createMemoryConnection(network: NetworkView): MemoryConnection {
  const { clock } = network
  const lanes = new Map<string, Lane>()
  let open = true

  const arm = (lane: Lane): void => {
    const [first] = lane.waiting
    if (lane.isArmed || first === undefined) return
    lane.isArmed = true
    network.later(first.dueMs - clock.now(), () => {
      lane.isArmed = false
      deliver(lane)
    })
  }
  const deliver = (lane: Lane): void => {
    const count = lane.waiting.length
    for (let done = 0; open && done < count; done += 1) {
      const [first] = lane.waiting
      if (first === undefined || first.dueMs > clock.now()) break
      lane.waiting.shift()
      lane.bytes -= first.bytes
      first.arrive()
    }
    if (open) arm(lane)
  }

  return {
    isOpen: () => open,
    waitingBytes: (from, channel) => lanes.get(`${from} frame ${channel}`)?.bytes ?? 0,
    carry: (transfer, arrive) => {
      const delayMs = network.delayOf(transfer)
      if (!open || delayMs === undefined) return
      const name = `${transfer.from} ${transfer.kind} ${transfer.channel ?? ''}`
      let lane = lanes.get(name)
      if (lane === undefined) {
        lane = { waiting: [], bytes: 0, lastDueMs: 0, isArmed: false }
        lanes.set(name, lane)
      }
      const dueMs = Math.max(lane.lastDueMs, clock.now() + delayMs)
      lane.lastDueMs = dueMs
      lane.bytes += transfer.bytes
      lane.waiting.push({ dueMs, bytes: transfer.bytes, arrive })
      arm(lane)
    },
    close: () => {
      open = false
      lanes.clear()
    },
  }
}
