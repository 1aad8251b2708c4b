// Somebody who asks for the truth all the time, of whomever, and most of all of those who may not know it any more. Clients
// wait for an answer before they ask again, and so are seldom there when a former leader wakes up.
import { hasCode, isGlynError } from '../../core/errors.ts'
import { isSystemType } from '../../core/system-types.ts'
import type { Canon } from './canon.ts'
import type { Ledger } from './ledger.ts'
import type { Dice } from './seeded-random.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface ProberInit {
  readonly time: VirtualTime
  readonly dice: Dice
  readonly canon: Canon
  readonly ledger: Ledger
  readonly nodes: () => readonly SimulatedNode[]
  readonly violated: (text: string) => void
  readonly isOver: () => boolean
}

const pauseMsMax = 120
const timeoutMs = 1500

export function startProber(init: ProberInit): void {
  const { time, dice, ledger } = init

  function probe(): void {
    if (init.isOver()) return
    time.after(dice.between(1, pauseMsMax), probe)
    const nodes = init.nodes()
    const histories = [...init.canon.aggregates()].filter(({ key }) => !isSystemType(key.type))
    if (nodes.length === 0 || histories.length === 0) return
    const paused = nodes.filter(node => node.state === 'paused')
    const node = dice.pick(paused.length > 0 && dice.chance(0.5) ? paused : nodes)
    const { key } = dice.pick(histories)
    const asked = ledger.reads(key, node.peerId)
    node
      .call(running => running.load(key, { timeoutMs }))
      .then(
        loaded => ledger.loaded(asked, loaded),
        (error: unknown) => {
          if (isGlynError(error) && (error.retryable || hasCode(error, 'SHUTTING_DOWN', 'MEMBER_REMOVED')))
            return
          init.violated(`a read of ${key.type}/${key.id} failed for good: ${String(error)}`)
        },
      )
  }

  probe()
}
