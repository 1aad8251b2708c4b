// What must hold of consensus whatever happens (Raft, figure 3), checked at each write, promise and commit of each replica.
import { peerIdOf, type ReplicaId, replicaId } from '../../core/replica-id.ts'
import type { GroupListener } from '../../partition/raft-engine.ts'
import { decodeRaftFrame } from '../../partition/raft-frame.ts'
import { type Configuration, type ConfigurationEntry, decodeConfiguration } from '../../raft/configuration.ts'
import type { Entry } from '../../raft/entry.ts'
import type { Append } from '../../raft/message.ts'
import { majorityOf } from '../../raft/quorum.ts'
import type { HardState, Raft, RoleChange } from '../../raft/raft.ts'
import type { LocalStore, PartitionWrite, StoreBatch } from '../../store/store.ts'
import { type Canon, sameBytes } from './canon.ts'
import type { Story } from './story.ts'

/** One disk under one name: a replica of every partition it holds. */
export interface WatchedReplica {
  readonly peerId: string
  readonly storageId: string
  readonly durable: LocalStore
}

export interface RaftWatchInit {
  readonly canon: Canon
  readonly story: Story
  readonly violated: (text: string, about: { readonly partition: number }) => void
  /** A replica on this node leads from now on. */
  readonly elected: (peerId: string) => void
}

export class RaftWatch {
  readonly #init: RaftWatchInit
  readonly #leaders = new Map<string, ReplicaId>()
  readonly #votes = new Map<string, ReplicaId>()
  /** By `partition/index/term`. The hash covers everything before: this is the log matching property. */
  readonly #hashes = new Map<string, Uint8Array>()
  /** Who granted a pre-vote, by partition, candidate and term. */
  readonly #preVotes = new Map<string, Set<ReplicaId>>()
  /** Partition, replica and term in which its leader asked it to stand. */
  readonly #asked = new Set<string>()
  /** The end of the log of whoever asked for votes, by partition, candidate and term. */
  readonly #requests = new Map<string, { readonly lastIndex: number; readonly lastTerm: number }>()
  /** What a leader knew to be committed when it was elected, by partition, replica and term. */
  readonly #knownCommits = new Map<string, number>()
  readonly #hardStates = new Map<string, HardState>()
  readonly #lastIndexes = new Map<string, number>()
  /** By partition, then index and term. */
  readonly #configurations = new Map<number, Map<string, ConfigurationEntry>>()

  constructor(init: RaftWatchInit) {
    this.#init = init
  }

  /** Configurations that some disk holds or held, or a leader counted by, from this index on, committed or not. */
  configurationsFrom(partition: number, index: number): readonly Configuration[] {
    const known = [...(this.#configurations.get(partition)?.values() ?? [])]
    return known.filter(one => one.index >= index).map(({ configuration }) => configuration)
  }

  /** Before a batch becomes durable: what is committed everywhere is not to be cut off anywhere. */
  hardening({ peerId, durable }: WatchedReplica, batch: StoreBatch): void {
    for (const { partition, truncateFrom } of batch.partitions) {
      if (truncateFrom === null) continue
      const canonical = this.#init.canon.log(partition)[truncateFrom - 1]
      const hash = durable.log(partition).hash(truncateFrom)
      if (canonical === undefined || hash === undefined || !sameBytes(canonical.entry.hash, hash)) continue
      const text = `${peerId} cuts off its log from ${truncateFrom}, an entry that is committed`
      this.#init.violated(text, { partition })
    }
  }

  durable(replica: WatchedReplica, batch: StoreBatch): void {
    for (const write of batch.partitions) this.#wrote(replica, write)
  }

  #wrote(
    { peerId, storageId }: WatchedReplica,
    { partition, hardState, truncateFrom, entries }: PartitionWrite,
  ): void {
    const about = { partition }
    const key = `${partition}/${storageId}`
    for (const entry of entries) {
      const place = `${partition}/${entry.index}/${entry.term}`
      const known = this.#hashes.get(place)
      if (known === undefined) {
        this.#hashes.set(place, entry.hash)
        if (entry.kind === 'config') this.#rememberConfiguration(partition, entry)
      } else if (!sameBytes(known, entry.hash)) {
        this.#init.violated(
          `entry ${entry.index} of term ${entry.term} differs between ${peerId} and another replica`,
          about,
        )
      }
    }
    const last = this.#lastIndexes.get(key) ?? 0
    const kept = truncateFrom === null ? last : Math.min(last, truncateFrom - 1)
    this.#lastIndexes.set(key, entries.at(-1)?.index ?? kept)
    if (hardState === null) return
    this.#hardStates.set(key, hardState)
    const { term, vote } = hardState
    if (vote === null) return
    const ballot = `${key}/${term}`
    const before = this.#votes.get(ballot)
    if (before !== undefined && before !== vote) {
      this.#init.violated(
        `${peerId} voted in term ${term} for ${peerIdOf(before)} and for ${peerIdOf(vote)}`,
        about,
      )
    }
    this.#votes.set(ballot, vote)
  }

  #rememberConfiguration(partition: number, { index, term, payload }: Entry): void {
    this.#addConfiguration(partition, `${index}/${term}`, {
      index,
      configuration: decodeConfiguration(payload),
    })
  }

  /** A leader counts by the configuration that it has appended last, even before that is durable anywhere. */
  #rememberCounting(partition: number, raft: Raft | undefined): void {
    const status = raft?.status()
    if (status?.role !== 'leader') return
    const { configurationIndex: index, configuration, term } = status
    this.#addConfiguration(partition, `${index}/${term} counting`, { index, configuration })
  }

  #addConfiguration(partition: number, key: string, entry: ConfigurationEntry): void {
    const known = this.#configurations.get(partition) ?? new Map<string, ConfigurationEntry>()
    this.#configurations.set(partition, known)
    if (!known.has(key)) known.set(key, entry)
  }

  /** A vote or an acknowledgement must speak of what is durable already (rule R1). */
  sent({ peerId, storageId, durable }: WatchedReplica, to: string, frame: Uint8Array): void {
    for (const { partition, message } of decodeRaftFrame(frame, { fromPeer: peerId, toPeer: to }).messages) {
      const key = `${partition}/${storageId}`
      const { term } = message
      if (message.type === 'vote-response' && message.granted) {
        const hardState = this.#hardStates.get(key)
        const isDurable =
          hardState !== undefined &&
          (hardState.term > term || (hardState.term === term && hardState.vote === message.to))
        if (!isDurable)
          this.#init.violated(`${peerId} grants ${to} its vote of term ${term} before the vote is durable`, {
            partition,
          })
        const request = this.#requests.get(`${partition}/${message.to}/${term}`)
        const last = this.#lastIndexes.get(key) ?? 0
        const lastTerm = durable.log(partition).term(last) ?? 0
        // Entries of this term are the candidate's own: it won without this vote, which leaves late.
        if (
          request !== undefined &&
          lastTerm < term &&
          (lastTerm > request.lastTerm || (lastTerm === request.lastTerm && last > request.lastIndex))
        ) {
          const text = `${peerId} votes in term ${term} for ${to}, whose log ends before its own`
          this.#init.violated(text, { partition })
        }
      } else if (message.type === 'append') {
        this.#checkCommit(peerId, partition, {
          ...message,
          termAt: index => durable.log(partition).term(index),
        })
      } else if (message.type === 'vote') {
        this.#requests.set(`${partition}/${message.from}/${term}`, message)
      } else if (message.type === 'pre-vote-response' && message.granted) {
        const candidacy = `${partition}/${message.to}/${term}`
        const granted = this.#preVotes.get(candidacy) ?? new Set()
        this.#preVotes.set(candidacy, granted.add(message.from))
      } else if (message.type === 'timeout-now') {
        this.#asked.add(`${partition}/${message.to}/${term + 1}`)
      } else if (message.type === 'append-response' && message.accepted) {
        const last = this.#lastIndexes.get(key) ?? 0
        if (message.index > last || term > (this.#hardStates.get(key)?.term ?? 0)) {
          const text = `${peerId} acknowledges entry ${message.index} in term ${term} to ${to}, but only ${last} is durable`
          this.#init.violated(text, { partition })
        }
      }
    }
  }

  /**
   * A leader moves the commit index to entries of its own term only (rule R5): its first append says where it began. And
   * it changes the configuration only after it has done so (rule R8).
   */
  #checkCommit(
    peerId: string,
    partition: number,
    {
      from,
      term,
      commit,
      entries,
      termAt,
    }: Append & { readonly termAt: (index: number) => number | undefined },
  ): void {
    const isOld = (termAt(commit) ?? term) < term
    const leadership = `${partition}/${from}/${term}`
    const known = this.#knownCommits.get(leadership)
    if (known === undefined) this.#knownCommits.set(leadership, commit)
    else if (commit > known && isOld) {
      const text = `${peerId} leads in term ${term} and counts entry ${commit} of term ${termAt(commit)} as committed`
      this.#init.violated(text, { partition })
    }
    const early = entries.find(entry => entry.kind === 'config' && entry.term === term)
    if (early !== undefined && isOld) {
      const text = `${peerId} leads in term ${term} and changes the configuration at ${early.index}, before it has committed anything of that term`
      this.#init.violated(text, { partition })
    }
  }

  /** Sees what the parts of a node are told before they are. `raft` is asked for anew, because it opens after this. */
  listener(
    replica: WatchedReplica,
    partition: number,
    init: { readonly listener: GroupListener; readonly raft: () => Raft | undefined },
  ): GroupListener {
    const { peerId, storageId } = replica
    const key = `${partition}/${storageId}`
    const { listener } = init
    let committedIndex = 0
    let term = 0
    return {
      committed: range => {
        this.#init.story.note(range.to)
        if (range.from !== committedIndex + 1) {
          this.#init.violated(
            `${peerId} was told that ${range.from} to ${range.to} are committed after ${committedIndex}`,
            { partition },
          )
        }
        committedIndex = range.to
        if (range.to > (this.#lastIndexes.get(key) ?? 0)) {
          this.#init.violated(`${peerId} was told that ${range.to} is committed, which is not on its disk`, {
            partition,
          })
        }
        const entries = replica.durable.log(partition).entries(range.from, range.to, Number.MAX_SAFE_INTEGER)
        this.#rememberCounting(partition, init.raft())
        const reached = this.#hardStates.get(key)?.term ?? 0
        this.#init.canon.committed(partition, entries, { term: Math.max(term, reached), by: peerId })
        listener.committed(range)
      },
      roleChanged: change => {
        if (change.term < term) {
          this.#init.violated(`${peerId} went back from term ${term} to ${change.term}`, { partition })
        }
        term = change.term
        if (change.role === 'leader') this.#leads(replica, partition, change, init.raft())
        if (change.role === 'candidate') this.#stands(replica, partition, change, init.raft())
        this.#tell(peerId, partition, change)
        listener.roleChanged(change)
      },
      read: read => listener.read(read),
    }
  }

  #leads(replica: WatchedReplica, partition: number, { term }: RoleChange, raft: Raft | undefined): void {
    const { peerId, storageId } = replica
    const id = replicaId({ peerId, storageId })
    const key = `${partition}/${term}`
    const other = this.#leaders.get(key)
    if (other !== undefined && other !== id) {
      this.#init.violated(`${peerIdOf(other)} and ${peerId} both lead in term ${term}`, { partition })
    }
    if (other !== undefined) return
    this.#leaders.set(key, id)
    this.#init.elected(peerId)
    const log = this.#init.canon.log(partition)
    const index = log.findLastIndex(entry => entry.term < term) + 1
    if (index === 0 || raft === undefined) return
    const status = raft.status()
    if (status.term !== term) return
    const [entry] = index > status.lastIndex ? [] : raft.entries(index, index, 1)
    const canonical = log[index - 1]
    if (entry === undefined || canonical === undefined || !sameBytes(entry.hash, canonical.entry.hash)) {
      this.#init.violated(`${peerId} leads in term ${term} without the committed entry ${index}`, {
        partition,
      })
    }
  }

  /** Nobody disturbs the others in a new term who could not win (rule R11), unless the leader asked for it. */
  #stands(replica: WatchedReplica, partition: number, { term }: RoleChange, raft: Raft | undefined): void {
    const id = replicaId(replica)
    const candidacy = `${partition}/${id}/${term}`
    const status = raft?.status()
    if (status === undefined || status.term !== term || this.#asked.has(candidacy)) return
    const granted = this.#preVotes.get(candidacy)
    const { voters } = status.configuration
    const count = voters.filter(voter => voter === id || granted?.has(voter) === true).length
    if (count >= majorityOf(voters.length)) return
    const text = `${replica.peerId} stands in term ${term} though only ${count} of ${voters.length} voters would vote for it`
    this.#init.violated(text, { partition })
  }

  #tell(peerId: string, partition: number, { role, term, canServe, reason }: RoleChange): void {
    if (role === 'leader') {
      const text = canServe
        ? `${peerId} leads in term ${term} and serves`
        : `${peerId} was elected in term ${term} (${reason})`
      this.#init.story.tell(text, { partition })
    } else if (role === 'candidate')
      this.#init.story.tell(`${peerId} stands in term ${term} (${reason})`, { partition })
    else this.#init.story.note(term)
  }
}
