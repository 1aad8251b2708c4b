// Which voters of a partition cannot be reached, and since when: what a caller is told who waits for a majority.
import { majorityOf } from '../raft/quorum.ts'
import type { Contacts } from './contacts.ts'
import { durationInWords } from './duration-in-words.ts'

export interface MissingReplica {
  readonly peerId: string
  readonly name: string
  /** ISO 8601. */
  readonly since: string
}

export interface MissingReplicas {
  readonly voters: number
  readonly missing: readonly MissingReplica[]
  readonly hasMajority: boolean
  /** `2 of its 3 voters cannot be reached from here: b (12D3…) since …, for 35 s; c …` */
  readonly text: string
}

/** Null when every voter can be reached. */
export function missingReplicas(init: {
  /** Peer ids. */
  readonly voters: readonly string[]
  readonly nameOf: (peerId: string) => string
  readonly contacts: Contacts
  /** Wall time. */
  readonly nowMs: number
}): MissingReplicas | null {
  const { voters, nameOf, contacts, nowMs } = init
  const gone = voters
    .map(peerId => ({ peerId, ...contacts.of(peerId) }))
    .filter(({ isConnected }) => !isConnected)
  if (gone.length === 0) return null
  const list = gone.map(
    ({ peerId, sinceMs }) =>
      `${nameOf(peerId)} (${peerId}) since ${new Date(sinceMs).toISOString()}, for ${durationInWords(nowMs - sinceMs)}`,
  )
  const hasMajority = voters.length - gone.length >= majorityOf(voters.length)
  const consequence = hasMajority ? '' : '; without a majority nothing can be decided'
  return {
    voters: voters.length,
    missing: gone.map(({ peerId, sinceMs }) => ({
      peerId,
      name: nameOf(peerId),
      since: new Date(sinceMs).toISOString(),
    })),
    hasMajority,
    text: `${gone.length} of its ${voters.length} voters cannot be reached from here: ${list.join('; ')}${consequence}`,
  }
}

/** `no contact with 2 of its 3 voters: b, c`. */
export const missingInShort = ({ voters, missing }: MissingReplicas): string =>
  `no contact with ${missing.length} of its ${voters} voters: ${missing.map(({ name }) => name).join(', ')}`
