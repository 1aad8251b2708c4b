// The hash that chains a partition's log: SHA-256 of node:crypto, as described in proto/store/record.proto.
import { hash } from 'node:crypto'
import { InvariantError } from '../core/assert.ts'
import type { HashEntry } from '../raft/entry.ts'
import { kindNumber } from './entry-codec.ts'
import { pooledBytes } from './pooled-bytes.ts'

export const hashEntry: HashEntry = (previousHash, entry) => {
  if (previousHash.length !== 32) {
    throw new InvariantError(
      `hashEntry: the hash before ${entry.index} has ${previousHash.length} bytes, not 32`,
    )
  }
  const length = headerBytes + entry.payload.length
  const bytes = length <= scratchBytes ? scratch : new Uint8Array(length)
  const view = bytes === scratch ? scratchView : new DataView(bytes.buffer)
  bytes.set(previousHash, 0)
  setUint64(view, { at: 32, value: entry.index })
  setUint64(view, { at: 40, value: entry.term })
  view.setUint8(48, kindNumber(entry.kind))
  bytes.set(entry.payload, headerBytes)
  const digest = hash('sha256', bytes.subarray(0, length), 'binary')
  const own = pooledBytes(digestBytes)
  for (let place = 0; place < digestBytes; place += 1) own[place] = digest.charCodeAt(place)
  return own
}

function setUint64(view: DataView, field: { readonly at: number; readonly value: number }): void {
  view.setUint32(field.at, Math.floor(field.value / 0x1_0000_0000))
  view.setUint32(field.at + 4, field.value >>> 0)
}

const digestBytes = 32
const headerBytes = 32 + 8 + 8 + 1
const scratchBytes = 16 * 1024
const scratch = new Uint8Array(scratchBytes)
const scratchView = new DataView(scratch.buffer)
