// What must hold whatever happens to a group of replicas (Raft, figure 3), checked from what they say and write.
import type { ReplicaId } from '../../src/core/replica-id.ts'
import { decodeConfiguration } from '../../src/raft/configuration.ts'
import type { Entry } from '../../src/raft/entry.ts'
import type { RaftMessage } from '../../src/raft/message.ts'
import type { Persist, Raft } from '../../src/raft/raft.ts'

interface CommittedEntry {
  readonly hash: string
  /** At or above the term in which it was committed. Never falls along the log. */
  readonly term: number
}

/** What one replica showed since it was started. */
interface Seen {
  readonly raft: Raft
  term: number
  commitIndex: number
  isLeader: boolean
}

export class RaftInvariants {
  readonly #leaders = new Map<number, ReplicaId>()
  readonly #votes = new Map<string, ReplicaId>()
  /** Hash by `index/term`. The hash covers everything before, so this is the log matching property. */
  readonly #hashes = new Map<string, string>()
  readonly #committed: CommittedEntry[] = []
  #voters: readonly ReplicaId[] | undefined
  readonly #durableTerms = new Map<ReplicaId, number>()
  readonly #seen = new Map<ReplicaId, Seen>()
  readonly #reads = new Map<number, number>()

  /** The highest index that any replica was told is committed. */
  get committedIndex(): number {
    return this.#committed.length
  }

  wrote(id: ReplicaId, { hardState, entries }: Persist): void {
    for (const entry of entries) this.#checkHash(entry, id)
    if (hardState === null) return
    const before = this.#durableTerms.get(id) ?? 0
    if (hardState.term < before) throw new Error(`${id} wrote term ${hardState.term} after ${before}`)
    this.#durableTerms.set(id, hardState.term)
  }

  sent(message: RaftMessage): void {
    const { type, from, to, term } = message
    if (type === 'append') for (const entry of message.entries) this.#checkHash(entry, from)
    if (type === 'vote') this.#checkVote(from, term, from)
    if (type === 'vote-response' && message.granted) this.#checkVote(from, term, to)
    if (type === 'append-response' && message.accepted) {
      const durable = this.#durableTerms.get(from) ?? 1
      if (term > durable)
        throw new Error(`${from} acknowledged in term ${term}, but only ${durable} is durable`)
    }
  }

  committed(raft: Raft, range: { readonly from: number; readonly to: number }): void {
    const { id, term, durableIndex } = raft.status()
    if (range.to > durableIndex) throw new Error(`${id}: ${range.to} is committed, ${durableIndex} durable`)
    for (const entry of raft.entries(range.from, range.to, Number.MAX_SAFE_INTEGER)) {
      const hash = hex(entry)
      const known = this.#committed[entry.index - 1]
      if (known !== undefined && known.hash !== hash) {
        throw new Error(
          `entry ${entry.index} was committed before and is another one on ${id} in term ${term}`,
        )
      }
      if (known !== undefined) continue
      if (entry.index !== this.#committed.length + 1) {
        throw new Error(`${id} was told of ${entry.index} before anyone was of ${this.#committed.length + 1}`)
      }
      const before = this.#committed.at(-1)?.term ?? 0
      this.#committed.push({ hash, term: Math.max(before, term) })
      if (entry.kind === 'config') this.#checkStep(entry)
    }
  }

  /** After anything that happened to a replica. */
  observe(raft: Raft): void {
    const { id, term, commitIndex, role } = raft.status()
    let seen = this.#seen.get(id)
    if (seen?.raft !== raft) {
      seen = { raft, term: 0, commitIndex: 0, isLeader: false }
      this.#seen.set(id, seen)
    }
    if (term < seen.term) throw new Error(`${id} went back from term ${seen.term} to ${term}`)
    if (commitIndex < seen.commitIndex) {
      throw new Error(`${id} went back from commit ${seen.commitIndex} to ${commitIndex}`)
    }
    const isElected = role === 'leader' && (!seen.isLeader || term !== seen.term)
    seen.term = term
    seen.commitIndex = commitIndex
    seen.isLeader = role === 'leader'
    if (isElected) this.#checkLeader(raft)
  }

  readAsked(context: number): void {
    this.#reads.set(context, this.committedIndex)
  }

  readConfirmed(context: number, index: number): void {
    const committedBefore = this.#reads.get(context) ?? 0
    if (index < committedBefore) {
      throw new Error(
        `read ${context} is served at ${index}, but ${committedBefore} was committed before it was asked`,
      )
    }
  }

  #checkLeader(raft: Raft): void {
    const { id, term, lastIndex } = raft.status()
    const other = this.#leaders.get(term)
    if (other !== undefined && other !== id) throw new Error(`${other} and ${id} both lead in term ${term}`)
    this.#leaders.set(term, id)
    this.#checkVote(id, term, id)
    const index = this.#committed.findLastIndex(entry => entry.term < term) + 1
    if (index === 0) return
    const [entry] = index > lastIndex ? [] : raft.entries(index, index, 1)
    if (entry === undefined || hex(entry) !== this.#committed[index - 1]?.hash) {
      throw new Error(`${id} leads in term ${term} without the committed entry ${index}`)
    }
  }

  #checkVote(voter: ReplicaId, term: number, candidate: ReplicaId): void {
    const key = `${voter} in term ${term}`
    const before = this.#votes.get(key)
    if (before !== undefined && before !== candidate) {
      throw new Error(`${key} voted for ${before} and for ${candidate}`)
    }
    this.#votes.set(key, candidate)
  }

  #checkHash(entry: Entry, id: ReplicaId): void {
    const key = `${entry.index}/${entry.term}`
    const hash = hex(entry)
    const known = this.#hashes.get(key)
    if (known === undefined) this.#hashes.set(key, hash)
    else if (known !== hash) throw new Error(`entry ${key} differs between ${id} and another replica`)
  }

  /** Majorities of consecutive configurations overlap when at most one voter differs. */
  #checkStep(entry: Entry): void {
    const { voters } = decodeConfiguration(entry.payload)
    const before = this.#voters
    this.#voters = voters
    if (before === undefined) return
    const changed = [...voters, ...before].filter(id => voters.includes(id) !== before.includes(id)).length
    if (changed > 1) throw new Error(`the configuration at ${entry.index} changes ${changed} voters at once`)
  }
}

const hex = (entry: Entry): string => Buffer.from(entry.hash).toString('hex')
