// Partition writes as one block of bytes, handed from the main thread to the writer thread without a copy:
// the main thread pays for one memcpy per entry, not for a structured clone.
import { invariant } from '../../core/assert.ts'
import type { Entry } from '../../raft/entry.ts'
import type { HardState } from '../../raft/raft.ts'
import { kindNumber, kindOfNumber } from '../entry-codec.ts'
import type { PartitionWrite } from '../store.ts'

/** Appends partition writes to a growing block. */
export class WritePacker {
  #bytes = new Uint8Array(firstBytes)
  #view = new DataView(this.#bytes.buffer)
  #position = 0

  get length(): number {
    return this.#position
  }

  /** After it threw, the block must not be used. */
  add(write: PartitionWrite): void {
    const { partition, hardState, truncateFrom, entries } = write
    this.#reserve(headerBytes)
    this.#uint32(partition)
    this.#uint32(entries.length)
    this.#double(truncateFrom ?? 0)
    this.#byte(hardState === null ? 0 : hardState.vote === null ? 1 : 2)
    if (hardState !== null) this.#hardState(hardState)
    for (const entry of entries) this.#entry(entry)
  }

  /** The block so far; the packer starts anew. */
  take(): ArrayBuffer {
    const block = this.#bytes.buffer.slice(0, this.#position)
    this.#position = 0
    if (this.#bytes.length > keptBytesMax) {
      this.#bytes = new Uint8Array(firstBytes)
      this.#view = new DataView(this.#bytes.buffer)
    }
    return block
  }

  #hardState({ term, commit, vote }: HardState): void {
    const text = vote === null ? noBytes : encoder.encode(vote)
    this.#reserve(20 + text.length)
    this.#double(term)
    this.#double(commit)
    this.#uint32(text.length)
    this.#put(text)
  }

  #entry({ index, term, kind, payload, hash }: Entry): void {
    invariant(
      hash.length === hashBytes,
      `entry ${index}: its hash has ${hash.length} bytes, not ${hashBytes}`,
    )
    this.#reserve(entryHeaderBytes + payload.length)
    this.#double(index)
    this.#double(term)
    this.#byte(kindNumber(kind))
    this.#put(hash)
    this.#uint32(payload.length)
    this.#put(payload)
  }

  #byte(value: number): void {
    this.#view.setUint8(this.#position, value)
    this.#position += 1
  }

  #uint32(value: number): void {
    this.#view.setUint32(this.#position, value)
    this.#position += 4
  }

  #double(value: number): void {
    this.#view.setFloat64(this.#position, value)
    this.#position += 8
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#position)
    this.#position += bytes.length
  }

  #reserve(more: number): void {
    let length = this.#bytes.length
    if (this.#position + more <= length) return
    while (length < this.#position + more) length *= 2
    const bytes = new Uint8Array(length)
    bytes.set(this.#bytes.subarray(0, this.#position))
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}

/** The writes of a block, in order. Payloads and hashes are views of it. */
export function unpackWrites(block: ArrayBuffer): PartitionWrite[] {
  const view = new DataView(block)
  const writes: PartitionWrite[] = []
  let at = 0
  while (at < block.byteLength) {
    const partition = view.getUint32(at)
    const count = view.getUint32(at + 4)
    const truncateFrom = view.getFloat64(at + 8)
    const hasHardState = view.getUint8(at + 16)
    at += headerBytes
    let hardState: HardState | null = null
    if (hasHardState !== 0) {
      const length = view.getUint32(at + 16)
      const vote = hasHardState === 1 ? null : decoder.decode(new Uint8Array(block, at + 20, length))
      hardState = { term: view.getFloat64(at), commit: view.getFloat64(at + 8), vote }
      at += 20 + length
    }
    const entries: Entry[] = []
    for (let number = 0; number < count; number += 1) {
      const length = view.getUint32(at + 49)
      entries.push({
        index: view.getFloat64(at),
        term: view.getFloat64(at + 8),
        kind: kindOfNumber(view.getUint8(at + 16)),
        hash: new Uint8Array(block, at + 17, hashBytes),
        payload: new Uint8Array(block, at + entryHeaderBytes, length),
      })
      at += entryHeaderBytes + length
    }
    writes.push({ partition, hardState, truncateFrom: truncateFrom === 0 ? null : truncateFrom, entries })
  }
  return writes
}

/** partition, number of entries, truncateFrom, hard state: 0 none, 1 without a vote, 2 with one. */
const headerBytes = 4 + 4 + 8 + 1
/** index, term, kind, hash, length of the payload. */
const hashBytes = 32
const entryHeaderBytes = 8 + 8 + 1 + hashBytes + 4

const firstBytes = 64 * 1024
/** A block that grew beyond is given back after it was sent. */
const keptBytesMax = 4 * 1024 * 1024
const noBytes = new Uint8Array(0)
const encoder = new TextEncoder()
const decoder = new TextDecoder()
