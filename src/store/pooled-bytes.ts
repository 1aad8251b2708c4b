// Small byte arrays that are kept for a while share a buffer: one of their own for each would cost the collection of
// garbage more than all the rest of an entry (measured: a tenth of the time of a busy node).

/** A buffer goes when the last array in it goes: small, so that a single one that stays does not hold much. */
const slabBytes = 16 * 1024
/** Larger ones have a buffer of their own. */
const pooledBytesMax = 2 * 1024

let slab = new ArrayBuffer(slabBytes)
let used = 0

/** So many bytes, all zero; the caller owns them, but not the rest of the buffer that they lie in. */
export function pooledBytes(length: number): Uint8Array {
  if (length > pooledBytesMax) return new Uint8Array(length)
  if (used + length > slabBytes) {
    slab = new ArrayBuffer(slabBytes)
    used = 0
  }
  const bytes = new Uint8Array(slab, used, length)
  used += length
  return bytes
}
