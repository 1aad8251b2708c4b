// The log: what is durable (read through the LogReader), what is being written, what is only in memory, and the hash
// chain through all of it.
//
//   1 ……………… durableIndex ……… handedIndex ……… lastIndex
//   on disk     | in the write under way | not handed out yet
//
// Memory holds everything above `durableIndex` or above the commit index (bounded by `uncommittedBytesMax` of the
// leader), and below that as many recent entries as fit `recentBytesMax`, so that followers and readers that are
// nearly caught up cost no disk read.
import { invariant } from '../core/assert.ts'
import { type Entry, genesisHash, type HashEntry } from './entry.ts'
import { entryBytes } from './entry-bytes.ts'
import type { LogReader } from './raft.ts'

/**
 * Per partition, when there is somebody to send it to: some hundred entries, a second or so of a busy partition. Who is
 * further behind is served from the disk. More would cost every collection of garbage, which copies what stays (measured).
 */
const recentBytesMax = 64 * 1024
/** Dropped places at the front of the array are given back when they are this many and half of it. */
const droppedPlacesMin = 256
/** Takes a dropped place, so that the entry that stood there goes at once. */
const nothing: Entry = { index: 0, term: 0, kind: 'noop', payload: new Uint8Array(0), hash: genesisHash }

export interface LogWrite {
  readonly truncateFrom: number | null
  readonly entries: readonly Entry[]
}

export interface TakenEntries {
  readonly truncatedFrom: number | null
  readonly appended: readonly Entry[]
}

export class RaftLog {
  readonly #reader: LogReader
  readonly #hashEntry: HashEntry
  /** Entries `#firstInMemory..#lastIndex`, after `#dropped` places that are no longer used. */
  #memory: Entry[] = []
  #dropped = 0
  #firstInMemory: number
  #memoryBytes = 0
  #uncommittedBytes = 0
  #lastIndex: number
  #lastTerm: number
  #lastHash: Uint8Array
  #commitIndex: number
  #durableIndex: number
  #handedIndex: number
  #isWriting = false
  #hasReaders = true
  #truncateFrom: number | null = null

  constructor(init: {
    readonly reader: LogReader
    readonly hashEntry: HashEntry
    readonly lastIndex: number
    readonly commitIndex: number
  }) {
    const { lastIndex, commitIndex } = init
    invariant(
      commitIndex <= lastIndex,
      `the stored commit index ${commitIndex} lies beyond the last entry ${lastIndex}`,
    )
    this.#reader = init.reader
    this.#hashEntry = init.hashEntry
    this.#firstInMemory = lastIndex + 1
    this.#lastIndex = lastIndex
    this.#commitIndex = commitIndex
    this.#durableIndex = lastIndex
    this.#handedIndex = lastIndex
    this.#lastTerm = this.#storedTerm(lastIndex)
    this.#lastHash = this.#storedHash(lastIndex)
  }

  get lastIndex(): number {
    return this.#lastIndex
  }

  get lastTerm(): number {
    return this.#lastTerm
  }

  get commitIndex(): number {
    return this.#commitIndex
  }

  /** Entries up to here are on disk and will stay: no truncation of them is pending. */
  get durableIndex(): number {
    return this.#durableIndex
  }

  /** Up to where entries were handed out to be written, and are still part of the log. */
  get handedIndex(): number {
    return this.#handedIndex
  }

  /** Bytes of the `command` entries above the commit index that were appended since this replica started. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes
  }

  get hasUnwritten(): boolean {
    return this.#handedIndex < this.#lastIndex || this.#truncateFrom !== null
  }

  /** Undefined beyond the last entry; 0 for index 0. */
  term(index: number): number | undefined {
    if (index === this.#lastIndex) return this.#lastTerm
    if (index > this.#lastIndex) return undefined
    return index >= this.#firstInMemory ? this.#inMemory(index).term : this.#storedTerm(index)
  }

  /** Whether a log that ends at (lastTerm, lastIndex) holds at least what this one holds (Raft 5.4.1). */
  isCoveredBy(other: { readonly lastTerm: number; readonly lastIndex: number }): boolean {
    if (other.lastTerm !== this.#lastTerm) return other.lastTerm > this.#lastTerm
    return other.lastIndex >= this.#lastIndex
  }

  /**
   * The last index at or below `index` whose term is at most `term`: where two logs may agree, given that one of them
   * has `term` at `index`. Terms never fall along a log, so this is a binary search.
   */
  lastAgreement(index: number, term: number): number {
    let low = 0
    let high = Math.min(index, this.#lastIndex)
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.term(middle) ?? 0) <= term) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Leader: makes the next entry. */
  append(draft: {
    readonly term: number
    readonly kind: Entry['kind']
    readonly payload: Uint8Array
  }): Entry {
    const { term, kind, payload } = draft
    const linked = { index: this.#lastIndex + 1, term, kind, payload }
    const entry = { ...linked, hash: this.#hashEntry(this.#lastHash, linked) }
    this.#push(entry)
    return entry
  }

  /**
   * Follower: takes entries whose predecessor matches. What is there already stays (rule R4: what matches is never
   * truncated); from the first real conflict on, this log gives way.
   */
  take(entries: readonly Entry[]): TakenEntries {
    let known = 0
    for (const entry of entries) {
      if (this.term(entry.index) !== entry.term) break
      this.#checkSame(entry)
      known += 1
    }
    const appended = known === 0 ? entries : entries.slice(known)
    const [first] = appended
    if (first === undefined) return { truncatedFrom: null, appended }
    const truncatedFrom = first.index <= this.#lastIndex ? first.index : null
    if (truncatedFrom !== null) this.#truncate(truncatedFrom)
    for (const entry of appended) this.#link(entry)
    return { truncatedFrom, appended }
  }

  commitTo(index: number): void {
    if (index <= this.#commitIndex) return
    invariant(
      index <= this.#lastIndex,
      () => `index ${index} is said to be committed, but this log ends at ${this.#lastIndex}`,
    )
    for (let at = Math.max(this.#commitIndex + 1, this.#firstInMemory); at <= index; at += 1) {
      this.#uncommittedBytes -= commandBytes(this.#inMemory(at))
    }
    this.#commitIndex = index
    this.#dropOld()
  }

  /** Hands out what is to be written. The next call comes after {@link written}. */
  takeWrite(): LogWrite {
    invariant(!this.#isWriting, 'a write of this log is under way already')
    const write = {
      truncateFrom: this.#truncateFrom,
      entries: this.#slice(this.#handedIndex + 1, this.#lastIndex),
    }
    this.#truncateFrom = null
    this.#handedIndex = this.#lastIndex
    this.#isWriting = true
    return write
  }

  /** The write under way is durable. What was truncated meanwhile does not count. */
  written(): void {
    invariant(this.#isWriting, 'no write of this log is under way')
    this.#isWriting = false
    this.#durableIndex = this.#handedIndex
    this.#dropOld()
  }

  /** Entries from..to inclusive, at least one, stopping before `bytesMax` is exceeded. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    invariant(
      from >= 1 && from <= to && to <= this.#lastIndex,
      () => `entries ${from}..${to} were asked for, but this log holds 1..${this.#lastIndex}`,
    )
    if (from >= this.#firstInMemory) return this.#bounded(from, to, bytesMax)
    const stored = this.#reader.entries(from, Math.min(to, this.#firstInMemory - 1), bytesMax)
    const next = from + stored.length
    if (next > to || next < this.#firstInMemory) return stored
    let bytes = entryBytes(this.#inMemory(next))
    for (const entry of stored) bytes += entryBytes(entry)
    if (bytes > bytesMax) return stored
    return [...stored, ...this.#bounded(next, to, bytesMax - bytes + entryBytes(this.#inMemory(next)))]
  }

  #bounded(from: number, to: number, bytesMax: number): readonly Entry[] {
    let bytes = 0
    let end = from
    while (end <= to) {
      bytes += entryBytes(this.#inMemory(end))
      if (bytes > bytesMax && end > from) break
      end += 1
    }
    return this.#slice(from, end - 1)
  }

  #link(entry: Entry): void {
    invariant(
      entry.index === this.#lastIndex + 1 && entry.term >= this.#lastTerm,
      () =>
        `entry ${entry.index} of term ${entry.term} cannot follow ${this.#lastIndex} of ${this.#lastTerm}`,
    )
    const isLinked = isSame(this.#hashEntry(this.#lastHash, entry), entry.hash)
    invariant(
      isLinked,
      () =>
        `entry ${entry.index} of term ${entry.term} does not have the hash that the entry before it demands`,
    )
    this.#push(entry)
  }

  #checkSame(entry: Entry): void {
    const { index } = entry
    const own = index >= this.#firstInMemory ? this.#inMemory(index).hash : this.#storedHash(index)
    invariant(
      isSame(own, entry.hash),
      () => `entry ${index} of term ${entry.term} is here with another hash: the logs have diverged`,
    )
  }

  #push(entry: Entry): void {
    this.#memory.push(entry)
    this.#memoryBytes += entryBytes(entry)
    this.#uncommittedBytes += commandBytes(entry)
    this.#lastIndex = entry.index
    this.#lastTerm = entry.term
    this.#lastHash = entry.hash
  }

  #truncate(from: number): void {
    invariant(
      from > this.#commitIndex,
      () => `entries from ${from} on conflict with the leader's, but ${this.#commitIndex} is committed here`,
    )
    for (let at = Math.max(from, this.#firstInMemory); at <= this.#lastIndex; at += 1) {
      const entry = this.#inMemory(at)
      this.#memoryBytes -= entryBytes(entry)
      this.#uncommittedBytes -= commandBytes(entry)
    }
    if (from <= this.#handedIndex) this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from)
    const last = from - 1
    this.#handedIndex = Math.min(this.#handedIndex, last)
    this.#durableIndex = Math.min(this.#durableIndex, last)
    if (from <= this.#firstInMemory) {
      this.#memory = []
      this.#dropped = 0
      this.#firstInMemory = from
    } else {
      this.#memory.length = this.#dropped + (from - this.#firstInMemory)
    }
    const tail = last >= this.#firstInMemory ? this.#inMemory(last) : undefined
    this.#lastIndex = last
    this.#lastTerm = tail?.term ?? this.#storedTerm(last)
    this.#lastHash = tail?.hash ?? this.#storedHash(last)
  }

  /** Whether there is anybody who may soon ask for recent entries: another member of the partition. */
  set hasReaders(hasReaders: boolean) {
    this.#hasReaders = hasReaders
  }

  #dropOld(): void {
    const droppable = Math.min(this.#durableIndex, this.#commitIndex)
    const bytesMax = this.#hasReaders ? recentBytesMax : 0
    while (this.#memoryBytes > bytesMax && this.#firstInMemory <= droppable) {
      this.#memoryBytes -= entryBytes(this.#inMemory(this.#firstInMemory))
      this.#memory[this.#dropped] = nothing
      this.#dropped += 1
      this.#firstInMemory += 1
    }
    if (this.#dropped < droppedPlacesMin || this.#dropped * 2 < this.#memory.length) return
    this.#memory = this.#memory.slice(this.#dropped)
    this.#dropped = 0
  }

  #slice(from: number, to: number): readonly Entry[] {
    const offset = this.#dropped - this.#firstInMemory
    return this.#memory.slice(from + offset, to + 1 + offset)
  }

  #inMemory(index: number): Entry {
    const entry = this.#memory[this.#dropped + index - this.#firstInMemory]
    invariant(entry !== undefined && entry.index === index, () => `entry ${index} is not in memory`)
    return entry
  }

  #storedTerm(index: number): number {
    if (index === 0) return 0
    const term = this.#reader.term(index)
    invariant(term !== undefined, () => `the store has no term for entry ${index}, which it must hold`)
    return term
  }

  #storedHash(index: number): Uint8Array {
    if (index === 0) return genesisHash
    const hash = this.#reader.hash(index)
    invariant(hash !== undefined, () => `the store has no hash for entry ${index}, which it must hold`)
    return hash
  }
}

const commandBytes = (entry: Entry): number => (entry.kind === 'command' ? entryBytes(entry) : 0)

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false
  for (let place = 0; place < left.length; place += 1) {
    if (left[place] !== right[place]) return false
  }
  return true
}
