// Linearizable reads on the leader (ReadIndex, Raft thesis 6.4): all reads of a turn share one round of heartbeats.
import type { ConfirmedRead } from './raft.ts'

/** Reads that may wait in one partition; the next one is refused. */
const readsMax = 10_000

interface RoundRead {
  readonly context: number
  readonly index: number
  readonly round: number
}

export class ReadQueue {
  /** Not in a round yet. */
  #waiting: number[] = []
  /** In rounds that are not confirmed yet, oldest first. */
  #asked: RoundRead[] = []
  #round = 0

  /** False: the queue is full. */
  add(context: number): boolean {
    if (this.#waiting.length + this.#asked.length >= readsMax) return false
    this.#waiting.push(context)
    return true
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  get round(): number {
    return this.#round
  }

  /** The round that is asked for again with every heartbeat until it is confirmed; 0 for none. */
  get openRound(): number {
    return this.#asked.length > 0 ? this.#round : 0
  }

  /** Puts the waiting reads into a new round. They will be served from a state that includes `commitIndex`. */
  startRound(commitIndex: number): void {
    this.#round += 1
    for (const context of this.#waiting) {
      this.#asked.push({ context, index: commitIndex, round: this.#round })
    }
    this.#waiting = []
  }

  /** A majority acknowledged `round`, and with it all before it. */
  confirm(round: number): readonly ConfirmedRead[] {
    const first = this.#asked.findIndex(read => read.round > round)
    return this.#asked.splice(0, first < 0 ? this.#asked.length : first)
  }

  /** Rounds asked before this moment no longer count: their reads go into the next one. */
  restart(): void {
    this.#waiting = [...this.#asked.map(read => read.context), ...this.#waiting]
    this.#asked = []
  }

  /** Leadership is lost: every read has to be asked again elsewhere. */
  lose(): readonly ConfirmedRead[] {
    this.restart()
    const lost = this.#waiting.map(context => ({ context, index: null }))
    this.#waiting = []
    return lost
  }
}
