// Messages on their way out: those that may leave at once, and those that promise something still to be written.
import type { RaftMessage } from './message.ts'

const nothing: readonly RaftMessage[] = []

/**
 * At once: appends, heartbeats and their answers, pre-vote requests, timeout-now. They promise nothing of this
 * replica's disk: a leader's term was durable before it asked for votes, and an answer to a heartbeat only says which
 * leader is followed now.
 * After the write: votes and requests for them, acknowledgements and refusals of appends, answers to pre-votes.
 */
export class Outbox {
  #atOnce: RaftMessage[] = []
  #afterWrite: RaftMessage[] = []

  get hasAtOnce(): boolean {
    return this.#atOnce.length > 0
  }

  get hasAfterWrite(): boolean {
    return this.#afterWrite.length > 0
  }

  send(message: RaftMessage): void {
    this.#atOnce.push(message)
  }

  /** Leaves when everything that is in memory now is durable. */
  sendAfterWrite(message: RaftMessage): void {
    this.#afterWrite.push(message)
  }

  /** Promises of earlier terms are void: what they speak of may be truncated before it was ever written. */
  forgetBelow(term: number): void {
    if (this.hasAfterWrite) this.#afterWrite = this.#afterWrite.filter(message => message.term >= term)
  }

  takeAtOnce(): readonly RaftMessage[] {
    if (!this.hasAtOnce) return nothing
    const messages = this.#atOnce
    this.#atOnce = []
    return messages
  }

  takeAfterWrite(): readonly RaftMessage[] {
    if (!this.hasAfterWrite) return nothing
    const messages = this.#afterWrite
    this.#afterWrite = []
    return messages
  }
}
