// A small, stable, non-cryptographic hash. Its values place data: they must never change.

/**
 * FNV-1a over the UTF-8 bytes of `text`, finished with MurmurHash3's avalanche, as an unsigned 32-bit integer.
 * Sources: Fowler, Noll, Vo, draft-eastlake-fnv; Appleby, MurmurHash3 `fmix32`.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5
  const bytes = text.length * 3 <= scratch.length ? scratch : new Uint8Array(text.length * 3)
  const { written } = encoder.encodeInto(text, bytes)
  for (let at = 0; at < written; at += 1) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  hash ^= hash >>> 16
  return hash >>> 0
}

const encoder = new TextEncoder()
/** Most texts are short: an array for each would cost more than the hash. */
const scratch = new Uint8Array(1024)
