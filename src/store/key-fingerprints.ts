// A number for the content of each bucket of keys, kept up to date one item at a time: two nodes compare them to find where
// they differ.
import { keyBuckets } from './key-store.ts'

export interface KeyFingerprints {
  /** An item came, or one that was there before went: both are the same. */
  toggle(item: string, state: 'live' | 'destroyed' | 'forgotten'): void
  all(): readonly number[]
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Of an id or a reference in base64url. -1 for what is neither. */
export const bucketOf = (item: string): number => alphabet.indexOf(item.charAt(0))

/** The first character of everything in a bucket. */
export const firstOf = (bucket: number): string => alphabet.charAt(bucket)

/** Sums of 48 bits of a hash of each item: below 2^53, whatever is added. */
export function createKeyFingerprints(): KeyFingerprints {
  const sums = Array.from({ length: keyBuckets }, () => 0)
  return {
    toggle(item, state) {
      const bucket = bucketOf(item)
      const before = sums[bucket] ?? 0
      sums[bucket] = xor48(before, hash48(`${state} ${item}`))
    },
    all: () => [...sums],
  }
}

/** Two FNV-1a sums of 24 bits: items are random already, and come from members. */
function hash48(text: string): number {
  let low = 0x811c9dc5
  let high = 0x01000193
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high + code, 0x85ebca6b) ^ (high >>> 13)
  }
  return (high >>> 8) * 2 ** 24 + (low >>> 8)
}

const xor48 = (one: number, other: number): number =>
  ((Math.floor(one / 2 ** 24) ^ Math.floor(other / 2 ** 24)) >>> 0) * 2 ** 24 +
  (((one % 2 ** 24) ^ (other % 2 ** 24)) >>> 0)
