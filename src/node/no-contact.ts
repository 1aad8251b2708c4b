// A node that reaches nobody. Mostly the others are down or the network is; but a node that was away while all whom it
// knows were replaced finds nobody ever again, and listens to no stranger, until it is told of a member.
import type { Cancel, Clock } from '../core/clock.ts'
import { durationInWords } from './duration-in-words.ts'

const lookMs = 1000
/** Told for the first time after this long, then after twice as long each time, up to once an hour. */
const tellAfterMs = 30_000
const tellAgainMsMax = 3_600_000

export interface NoContact {
  /** What is wrong and what to do; null while a member is in contact, or has been a short time ago. */
  text(): string | null
  start(): void
  stop(): void
}

export function createNoContact(init: {
  readonly clock: Clock
  /** Peer ids of the other members, as far as they are known. */
  readonly others: () => readonly string[]
  readonly isConnected: (peerId: string) => boolean
  readonly tell: (text: string) => void
  readonly tellAfterMs?: number
}): NoContact {
  const { clock, others, isConnected } = init
  const firstMs = init.tellAfterMs ?? tellAfterMs
  /** The last moment with a contact, or with nobody to be in contact with. */
  let lastAt = clock.now()
  let tellAgainMs = firstMs
  let hadContact = false
  let cancel: Cancel = () => {}

  function text(): string | null {
    const known = others()
    if (known.length === 0 || known.some(isConnected)) return null
    const forMs = clock.now() - lastAt
    if (forMs < firstMs) return null
    const since = hadContact ? '' : ', since it was started'
    const whom = known.length === 1 ? 'the one member' : `any of the ${known.length} members`
    return (
      `this node has no contact with ${whom} that it knows, for ${durationInWords(forMs)}${since}. ` +
      'Start them, or look at the network; if they were replaced while this node was away, start it again with ' +
      '--bootstrap <address of a member>'
    )
  }

  function look(): void {
    const known = others()
    if (known.length === 0 || known.some(isConnected)) {
      hadContact ||= known.length > 0
      lastAt = clock.now()
      tellAgainMs = firstMs
      return
    }
    const said = clock.now() - lastAt >= tellAgainMs ? text() : null
    if (said === null) return
    tellAgainMs = clock.now() - lastAt + Math.min(tellAgainMs, tellAgainMsMax)
    init.tell(said)
  }

  function schedule(): void {
    cancel = clock.after(lookMs, () => {
      look()
      schedule()
    })
  }

  return {
    text,
    start() {
      lastAt = clock.now()
      schedule()
    },
    stop: () => cancel(),
  }
}
