// How far one follower is, and how much may be under way to it (etcd's `tracker.Progress` and `Inflights`).
import type { ReplicaId } from '../core/replica-id.ts'

interface FlowBounds {
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
}

interface InflightAppend {
  readonly lastIndex: number
  readonly bytes: number
}

/**
 * `probe`: where the logs agree is not known; one append at a time, the next after an answer or a heartbeat's answer.
 * `replicate`: appends follow one another without waiting, until the window is full.
 */
export class Progress {
  readonly id: ReplicaId
  readonly #bounds: FlowBounds
  #state: 'probe' | 'replicate' = 'probe'
  /** The last index known to be durable there and equal to ours. */
  #match = 0
  /** Invariant: `next` > `match`. */
  #next: number
  #inflight: InflightAppend[] = []
  #inflightBytes = 0
  /** Probe: one append is under way. */
  isProbeSent = false
  /** An answer to a heartbeat came while nothing moved: an append may be lost, so one is sent to find out. */
  isResendDue = false
  /** `match` moved since the last heartbeat. */
  hasMoved = false
  /** The commit index that it has been told. */
  sentCommit = 0
  /** The last round of reads it acknowledged. */
  readRound = 0
  /** The leader's count of ticks when it was last heard. */
  heardAt = Number.NEGATIVE_INFINITY

  constructor(init: { readonly id: ReplicaId; readonly next: number; readonly bounds: FlowBounds }) {
    this.id = init.id
    this.#next = init.next
    this.#bounds = init.bounds
  }

  get state(): 'probe' | 'replicate' {
    return this.#state
  }

  get match(): number {
    return this.#match
  }

  get next(): number {
    return this.#next
  }

  get isWindowFull(): boolean {
    const { inflightAppendsMax, inflightBytesMax } = this.#bounds
    return this.#inflight.length >= inflightAppendsMax || this.#inflightBytes >= inflightBytesMax
  }

  /** An append was sent. While replicating, the next one starts behind it. */
  sent(append: InflightAppend): void {
    if (this.#state === 'probe') {
      this.isProbeSent = true
      return
    }
    if (append.lastIndex < this.#next) return
    this.#next = append.lastIndex + 1
    this.#inflight.push(append)
    this.#inflightBytes += append.bytes
  }

  /** It holds everything up to `index`. */
  accepted(index: number): void {
    if (index > this.#match) {
      this.#match = index
      this.hasMoved = true
    }
    if (this.#state === 'probe' && index >= this.#match) this.#become('replicate')
    this.#next = Math.max(this.#next, index + 1)
    while ((this.#inflight[0]?.lastIndex ?? Number.POSITIVE_INFINITY) <= index) {
      this.#inflightBytes -= this.#inflight.shift()?.bytes ?? 0
    }
  }

  /** It refused an append after `index`; the logs may agree at `agreement`. False: an old answer, nothing follows. */
  refused(index: number, agreement: number): boolean {
    if (this.#state === 'replicate') {
      if (index <= this.#match) return false
      this.#become('probe')
      return true
    }
    if (index !== this.#next - 1) return false
    this.#next = Math.max(Math.min(index, agreement + 1), this.#match + 1)
    this.isProbeSent = false
    return true
  }

  #become(state: 'probe' | 'replicate'): void {
    this.#state = state
    this.#next = this.#match + 1
    this.#inflight = []
    this.#inflightBytes = 0
    this.isProbeSent = false
    this.isResendDue = false
  }
}
