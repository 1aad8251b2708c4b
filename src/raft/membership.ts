// Which configuration holds: the last one in the log, committed or not; undone when its entry is truncated.
import { invariant } from '../core/assert.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import {
  type Configuration,
  type ConfigurationEntry,
  decodeConfiguration,
  emptyConfiguration,
} from './configuration.ts'
import type { Entry } from './entry.ts'

const none: ConfigurationEntry = { index: 0, configuration: emptyConfiguration }

export class Membership {
  /** Oldest first: the last one that is known to be committed, and those above it. */
  #entries: ConfigurationEntry[]
  #current: ConfigurationEntry = none

  constructor(entries: readonly ConfigurationEntry[], commit: number) {
    this.#entries = [...entries]
    for (const [place, entry] of entries.entries()) {
      const before = entries[place - 1]?.index ?? 0
      invariant(
        entry.index > before,
        `configurations must be oldest first: ${before} stands before ${entry.index}`,
      )
    }
    this.#current = entries.at(-1) ?? none
    this.forgetBelow(commit)
  }

  get index(): number {
    return this.#current.index
  }

  get configuration(): Configuration {
    return this.#current.configuration
  }

  get voters(): readonly ReplicaId[] {
    return this.#current.configuration.voters
  }

  get learners(): readonly ReplicaId[] {
    return this.#current.configuration.learners
  }

  isVoter(id: ReplicaId): boolean {
    return this.voters.includes(id)
  }

  /** A voter of the latest configuration, or of the committed one that the latest would replace. */
  isVoterStill(id: ReplicaId): boolean {
    return this.#entries.some(({ configuration }) => configuration.voters.includes(id))
  }

  isMember(id: ReplicaId): boolean {
    return this.voters.includes(id) || this.learners.includes(id)
  }

  isSoleVoter(id: ReplicaId): boolean {
    return this.voters.length === 1 && this.voters[0] === id
  }

  /** Takes the configurations among entries that were appended to the log. True if there were any. */
  append(entries: readonly Entry[]): boolean {
    let isChanged = false
    for (const { kind, index, payload } of entries) {
      if (kind !== 'config') continue
      this.#entries.push({ index, configuration: decodeConfiguration(payload) })
      isChanged = true
    }
    this.#current = this.#entries.at(-1) ?? none
    return isChanged
  }

  truncate(from: number): void {
    while ((this.#entries.at(-1)?.index ?? 0) >= from) this.#entries.pop()
    this.#current = this.#entries.at(-1) ?? none
  }

  forgetBelow(commit: number): void {
    while ((this.#entries[1]?.index ?? Number.POSITIVE_INFINITY) <= commit) this.#entries.shift()
  }
}
