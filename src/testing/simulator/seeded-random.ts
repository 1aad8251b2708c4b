// Chance from a seed: the same seed, the same run. Streams of one seed are independent of each other's use.
import type { Random } from '../../core/clock.ts'

/** mulberry32 (T. Ettinger): 32 bits of state, good enough to choose faults. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Questions to chance, in words. */
export interface Dice {
  readonly random: Random
  /** True this often, 0 to 1. */
  chance(probability: number): boolean
  /** From `from` up to `to`. */
  between(from: number, to: number): number
  /** A whole number from `from` to `to`, both included. */
  integer(from: number, to: number): number
  /** One of them. Throws for none. */
  pick<T>(from: readonly T[]): T
  /** Dice of their own for one purpose: throwing them does not change what others throw. */
  apart(purpose: string): Dice
}

export function createDice(seed: number): Dice {
  const random = seededRandom(seed)
  const dice: Dice = {
    random,
    chance: probability => random() < probability,
    between: (from, to) => from + random() * (to - from),
    integer: (from, to) => from + Math.floor(random() * (to - from + 1)),
    pick: from => {
      const picked = from[Math.floor(random() * from.length)]
      if (picked === undefined) throw new Error('nothing to pick from')
      return picked
    },
    apart: purpose => createDice(mix(seed, purpose)),
  }
  return dice
}

/** FNV-1a over the purpose, from the seed. */
function mix(seed: number, purpose: string): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0
  for (let place = 0; place < purpose.length; place += 1) {
    hash = Math.imul(hash ^ purpose.charCodeAt(place), 0x01000193) >>> 0
  }
  return Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) >>> 0
}
