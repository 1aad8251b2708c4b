// What is broken in which order: the short run, the long one, and two sides that are split.
import { combinable, type FaultKind, type FaultReport, faultKinds } from './nemesis.ts'
import type { ChaosWorld } from './run-chaos.ts'

/** Each of these once, in an order that the seed decides. */
export async function* once(world: ChaosWorld, kinds: readonly FaultKind[]): AsyncGenerator<FaultReport> {
  for (const kind of shuffle(kinds, world.random)) yield await world.nemesis.strike(kind)
}

/** Every kind, again and again in ever new orders, for so long; between them now and then two kinds at once. */
export async function* forSoLong(world: ChaosWorld, forMs: number): AsyncGenerator<FaultReport> {
  const { nemesis, history, random } = world
  while (history.now() < forMs) {
    for (const kind of shuffle(faultKinds, random)) {
      if (history.now() >= forMs) return
      yield await nemesis.strike(kind)
      if (random() > pairShare || history.now() >= forMs) continue
      const pair = shuffle(combinable, random).slice(0, 2)
      yield await nemesis.strike(pair.flatMap(group => shuffle(group, random).slice(0, 1)))
    }
  }
}

/** How often two faults at once follow a single one. */
const pairShare = 0.4

/** The busiest node on one side, all others on the other, for so long; then until they agree again, under load. */
export async function* split({ nemesis, cluster }: ChaosWorld, forMs: number): AsyncGenerator<FaultReport> {
  yield await nemesis.strike('isolate-leader', forMs)
  await cluster.settled(agreeMsMax, { goesOn: true })
}

const agreeMsMax = 300_000

/** Fisher and Yates. */
function shuffle<Value>(values: readonly Value[], random: () => number): Value[] {
  const shuffled = [...values]
  for (let last = shuffled.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1))
    const [a, b] = [shuffled[last], shuffled[other]]
    if (a === undefined || b === undefined) continue
    shuffled[last] = b
    shuffled[other] = a
  }
  return shuffled
}
