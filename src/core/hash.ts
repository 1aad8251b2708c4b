// A small, stable, non-cryptographic hash. Its values place data: they must never change.

/**
 * FNV-1a over the UTF-8 bytes of `text`, finished with MurmurHash3's avalanche, as an unsigned 32-bit integer.
 * Sources: Fowler, Noll, Vo, draft-eastlake-fnv; Appleby, MurmurHash3 `fmix32`.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of encoder.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  hash ^= hash >>> 16
  return hash >>> 0
}

const encoder = new TextEncoder()
