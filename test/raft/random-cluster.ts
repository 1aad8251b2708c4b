// A group of replicas under chance: loss, reorder, duplication, one-way partitions, crashes at every point of a write,
// membership churn. Safety is checked after every step; then the world heals, and the group must get going again.
import { invariant } from '../../src/core/assert.ts'
import type { Random } from '../../src/core/clock.ts'
import type { ReplicaId } from '../../src/core/replica-id.ts'
import type { RaftMessage } from '../../src/raft/message.ts'
import { majorityOf } from '../../src/raft/quorum.ts'
import type { ConfigurationChange, Persist, Raft, RaftOptions } from '../../src/raft/raft.ts'
import type { RaftRules } from '../../src/raft/rules.ts'
import { RaftInvariants } from './raft-invariants.ts'
import { configurationsOf, createDisk, openRaft, type ReplicaDisk, writeToDisk } from './replica-disk.ts'

/** A planted bug of the driver around the state machine. */
export type DriverBug =
  | 'acknowledge-before-durable'
  | 'forget-vote-on-restart'
  | 'serve-reads-without-a-round'

export interface RandomClusterInit {
  readonly random: Random
  /** Voters at the start. */
  readonly voters: number
  /** Replicas that may be invited later. */
  readonly spares: number
  readonly steps: number
  readonly rules?: RaftRules
  readonly bug?: DriverBug
  readonly trace?: (line: string) => void
}

export interface RandomClusterReport {
  readonly committed: number
  readonly elections: number
  readonly crashes: number
  readonly changes: number
  readonly reads: number
}

/** Messages under way; past it the oldest are lost. */
const networkMax = 500
/** Within so many ticks after healing there must be a leader, and everything proposed then must be everywhere. */
const healTicksMax = 150

interface SimulatedReplica {
  readonly id: ReplicaId
  readonly disk: ReplicaDisk
  /** Null while it is down. */
  raft: Raft | null
  write: Persist | null
}

interface Chances {
  readonly loss: number
  readonly duplication: number
  readonly crash: number
  /** Right after winning an election. */
  readonly crashElected: number
  readonly changeElected: number
  readonly campaign: number
  readonly partition: number
  readonly change: number
  readonly transfer: number
  readonly stall: number
  readonly slowDisk: number
  readonly inOrder: boolean
}

/** Throws when an invariant is broken, or the group does not recover. */
export function runRandomCluster(init: RandomClusterInit): RandomClusterReport {
  const cluster = new RandomCluster(init)
  for (let step = 0; step < init.steps; step += 1) cluster.step()
  cluster.recover()
  return cluster.report
}

class RandomCluster {
  readonly #init: RandomClusterInit
  readonly #random: Random
  readonly #chances: Chances
  readonly #options: RaftOptions
  readonly #invariants = new RaftInvariants()
  readonly #replicas: SimulatedReplica[]
  #network: RaftMessage[] = []
  readonly #blocked = new Set<string>()
  #isHealed = false
  #proposals = 0
  #contexts = 0
  #counts = { elections: 0, crashes: 0, changes: 0, reads: 0 }

  constructor(init: RandomClusterInit) {
    this.#init = init
    this.#random = init.random
    // Every seed switches some kinds of faults off: rare combinations need room.
    const maybe = (chance: number): number => (this.#chance(0.4) ? 0 : chance * this.#random())
    this.#chances = {
      loss: maybe(0.3),
      duplication: maybe(0.3),
      crash: maybe(0.02),
      crashElected: maybe(0.6),
      changeElected: maybe(0.8),
      campaign: maybe(0.05),
      partition: maybe(0.03),
      change: maybe(0.1),
      transfer: maybe(0.03),
      stall: maybe(0.01),
      slowDisk: maybe(0.9),
      inOrder: this.#chance(0.3),
    }
    this.#options = {
      electionTicks: 3 + Math.floor(this.#random() * 4),
      heartbeatTicks: 1,
      appendBytesMax: this.#pick([1, 300]),
      inflightAppendsMax: this.#pick([1, 3]),
      inflightBytesMax: 900,
      uncommittedBytesMax: 2000,
    }
    const ids = Array.from({ length: init.voters + init.spares }, (_, place) => `n${place + 1}/s`)
    const configuration = { voters: ids.slice(0, init.voters), learners: [] }
    this.#replicas = ids.map((id, place) => ({
      id,
      disk: place < init.voters ? createDisk(configuration) : createDisk(),
      raft: null,
      write: null,
    }))
    for (const replica of this.#replicas) this.#start(replica)
  }

  get report(): RandomClusterReport {
    return { committed: this.#invariants.committedIndex, ...this.#counts }
  }

  step(): void {
    const chances = this.#chances
    if (this.#chance(chances.crash)) this.#crashOrStart()
    if (this.#chance(chances.partition)) this.#repartition()
    if (this.#chance(chances.change)) this.#change()
    if (this.#chance(chances.transfer)) this.#transfer()
    if (this.#chance(chances.stall)) this.#act(this.#pick(this.#replicas), raft => raft.stalled(), 'stalled')
    if (this.#chance(chances.campaign)) {
      this.#act(this.#pick(this.#replicas), raft => raft.campaign(), 'campaign')
    }
    const dice = this.#random()
    if (dice < 0.6) this.#deliver()
    else if (dice < 0.75) this.#act(this.#pick(this.#replicas), raft => raft.tick(), 'tick')
    else if (dice < 0.9) this.#finishWrite(this.#pick(this.#replicas))
    else if (dice < 0.97) this.#propose(this.#anyLeader())
    else this.#read(this.#anyLeader())
  }

  /** Heals the world, except perhaps for replicas that every configuration can do without. */
  recover(): void {
    this.#isHealed = true
    this.#blocked.clear()
    for (const replica of this.#replicas) {
      this.#crash(replica)
      this.#start(replica)
    }
    const down = this.#chance(0.5) ? this.#dispensable() : undefined
    if (down !== undefined) this.#crash(down)
    this.#trace(`healed, without ${down?.id ?? 'anyone'} down`)
    for (let tick = 0; tick < healTicksMax; tick += 1) {
      for (const replica of this.#replicas) this.#act(replica, raft => raft.tick(), 'tick')
      this.#settle()
      const leader = this.#replicas.find(({ raft }) => raft?.status().canServe)
      if (leader?.raft && tick % 4 === 0) this.#propose(leader)
      this.#settle()
      if (tick > 20 && this.#hasConverged()) return
    }
    throw new Error(`no agreement within ${healTicksMax} ticks after healing: ${this.#summary()}`)
  }

  #settle(): void {
    for (let round = 0; round < 1000; round += 1) {
      const messages = this.#network
      this.#network = []
      for (const message of messages) this.#hand(message)
      for (const replica of this.#replicas) this.#finishWrite(replica)
      if (this.#network.length === 0 && this.#replicas.every(replica => replica.write === null)) return
    }
    throw new Error('the replicas never stop talking')
  }

  #hasConverged(): boolean {
    const leader = this.#replicas.find(({ raft }) => raft?.status().canServe)?.raft?.status()
    if (leader === undefined) return false
    const { configuration, commitIndex, lastIndex } = leader
    if (commitIndex !== lastIndex || commitIndex !== this.#invariants.committedIndex) return false
    const members = new Set([...configuration.voters, ...configuration.learners])
    return this.#replicas.every(({ id, raft }) => {
      if (raft === null || !members.has(id)) return true
      const status = raft.status()
      return status.commitIndex === commitIndex && status.leader === leader.id
    })
  }

  #summary(): string {
    return this.#replicas
      .map(({ id, raft }) => {
        if (raft === null) return `${id} down`
        const { role, term, commitIndex, lastIndex, configuration } = raft.status()
        const { voters, learners } = configuration
        return `${id} ${role} term ${term} log ${commitIndex}/${lastIndex} voters ${voters} learners ${learners}`
      })
      .join('; ')
  }

  /** One replica without which every configuration of every log still has a majority. */
  #dispensable(): SimulatedReplica | undefined {
    const configurations = this.#replicas.flatMap(({ disk }) =>
      configurationsOf(disk)
        .filter(
          ({ index }) => index >= disk.hardState.commit || index === configurationsOf(disk).at(-1)?.index,
        )
        .map(entry => entry.configuration),
    )
    const fit = this.#replicas.filter(({ id }) =>
      configurations.every(
        ({ voters }) => !voters.includes(id) || voters.length - 1 >= majorityOf(voters.length),
      ),
    )
    return fit.length === 0 ? undefined : this.#pick(fit)
  }

  #start(replica: SimulatedReplica): void {
    const { id, disk } = replica
    if (this.#init.bug === 'forget-vote-on-restart') disk.hardState = { ...disk.hardState, vote: null }
    const { rules } = this.#init
    const random = this.#random
    const options = this.#options
    replica.raft = openRaft({ id, disk, random, options, ...(rules === undefined ? {} : { rules }) })
    this.#trace(`${id} starts with ${disk.entries.length} entries in term ${disk.hardState.term}`)
    this.#invariants.observe(replica.raft)
    // What the disk calls committed is not handed out again.
    const { commit } = disk.hardState
    if (commit > 0) this.#invariants.committed(replica.raft, { from: 1, to: commit })
  }

  /** A write under way is lost, or was durable just before: nobody knows. */
  #crash(replica: SimulatedReplica): void {
    if (replica.write !== null && this.#chance(0.5)) this.#write(replica, replica.write)
    replica.write = null
    replica.raft = null
    this.#trace(`${replica.id} crashes`)
  }

  #crashOrStart(): void {
    const replica = this.#pick(this.#replicas)
    if (replica.raft === null) {
      this.#start(replica)
      return
    }
    this.#counts.crashes += 1
    // The lights go out everywhere now and then.
    if (this.#chance(0.2)) for (const each of this.#replicas) this.#crash(each)
    else this.#crash(replica)
    if (this.#chance(0.5)) for (const each of this.#replicas) if (each.raft === null) this.#start(each)
  }

  #repartition(): void {
    this.#blocked.clear()
    if (this.#chance(0.4)) return
    const isOneWay = this.#chance(0.3)
    const leader = this.#anyLeader().id
    const followers = this.#pick([0, 0.25, 0.5])
    const isAroundLeader = this.#chance(0.5)
    const side = new Set(
      this.#replicas
        .map(replica => replica.id)
        .filter(id =>
          isAroundLeader && id === leader ? true : this.#chance(isAroundLeader ? followers : 0.5),
        ),
    )
    for (const { id: from } of this.#replicas) {
      for (const { id: to } of this.#replicas) {
        if (side.has(from) === side.has(to)) continue
        if (!isOneWay || side.has(from)) this.#blocked.add(`${from}>${to}`)
      }
    }
    this.#trace(`partition ${[...this.#blocked].join(' ')}`)
  }

  #change(leader: SimulatedReplica = this.#anyLeader()): void {
    const { id } = this.#pick(this.#replicas)
    const type = this.#pick(['add-learner', 'promote', 'promote', 'demote', 'remove'] as const)
    const change: ConfigurationChange = { type, id }
    this.#act(
      leader,
      raft => {
        if (raft.changeConfiguration(change).type === 'appended') this.#counts.changes += 1
      },
      `${type} ${id}`,
    )
  }

  #transfer(): void {
    const { id } = this.#pick(this.#replicas)
    this.#act(this.#anyLeader(), raft => raft.transferLeadership(id), `transfer to ${id}`)
  }

  #propose(replica: SimulatedReplica): void {
    this.#proposals += 1
    const payload = Buffer.from(`proposal ${this.#proposals}`)
    this.#act(replica, raft => raft.propose(payload), `propose ${this.#proposals}`)
  }

  #read(replica: SimulatedReplica): void {
    this.#contexts += 1
    const context = this.#contexts
    this.#act(
      replica,
      raft => {
        if (!raft.readIndex(context)) return
        this.#invariants.readAsked(context)
        if (this.#init.bug !== 'serve-reads-without-a-round') return
        const { canServe, commitIndex } = raft.status()
        if (canServe) this.#invariants.readConfirmed(context, commitIndex)
      },
      `read ${context}`,
    )
  }

  #deliver(): void {
    if (this.#network.length === 0) return
    const place = this.#chances.inOrder ? 0 : Math.floor(this.#random() * this.#network.length)
    const [message] = this.#network.splice(place, 1)
    if (message === undefined) return
    if (this.#chance(this.#chances.loss)) return
    if (this.#chance(this.#chances.duplication)) this.#network.push(message)
    this.#hand(message)
  }

  #hand(message: RaftMessage): void {
    const { from, to, type, term } = message
    if (this.#blocked.has(`${from}>${to}`)) return
    const receiver = this.#replicas.find(replica => replica.id === to)
    if (receiver !== undefined) {
      this.#act(receiver, raft => raft.step(message), `${type} of term ${term} from ${from}`)
    }
  }

  #act(replica: SimulatedReplica, action: (raft: Raft) => void, what: string): void {
    const { raft } = replica
    if (raft === null) return
    const { role, term } = raft.status()
    this.#trace(`${replica.id} ${what}`)
    action(raft)
    this.#drain(replica, raft)
    const now = raft.status()
    if (replica.raft !== raft || now.role !== 'leader' || (role === 'leader' && term === now.term)) return
    if (this.#isHealed) return
    if (this.#chance(this.#chances.changeElected)) this.#change(replica)
    if (this.#chance(this.#chances.crashElected)) this.#crash(replica)
  }

  #drain(replica: SimulatedReplica, raft: Raft): void {
    this.#invariants.observe(raft)
    for (let round = 0; raft.hasReady(); round += 1) {
      invariant(round < 100, `${replica.id} always has something ready`)
      const { messages, persist, committed, reads, role } = raft.ready()
      this.#send(messages)
      if (persist !== null) {
        invariant(replica.write === null, `${replica.id} has two writes under way`)
        replica.write = persist
        if (this.#init.bug === 'acknowledge-before-durable') this.#send(persist.messages)
      }
      if (committed !== null) this.#invariants.committed(raft, committed)
      for (const { context, index } of reads) {
        if (index === null) continue
        this.#counts.reads += 1
        this.#invariants.readConfirmed(context, index)
      }
      if (role?.role === 'leader' && !role.canServe) this.#counts.elections += 1
      if (role !== null) this.#trace(`${replica.id} is ${role.role} in term ${role.term}: ${role.reason}`)
    }
    if (!this.#chance(this.#chances.slowDisk)) this.#finishWrite(replica)
  }

  #finishWrite(replica: SimulatedReplica): void {
    const { raft, write } = replica
    if (raft === null || write === null) return
    this.#write(replica, write)
    replica.write = null
    if (!this.#isHealed && this.#chance(this.#chances.crash)) {
      this.#crash(replica)
      return
    }
    raft.persisted()
    this.#trace(`${replica.id} has written ${write.entries.length} entries`)
    if (!this.#isHealed && this.#chance(this.#chances.crash)) {
      this.#crash(replica)
      return
    }
    if (this.#init.bug !== 'acknowledge-before-durable') this.#send(write.messages)
    this.#drain(replica, raft)
  }

  #write(replica: SimulatedReplica, write: Persist): void {
    writeToDisk(replica.disk, write)
    this.#invariants.wrote(replica.id, write)
  }

  #send(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      // The planted bug must be found by its harm, not by being there.
      if (this.#init.bug !== 'acknowledge-before-durable') this.#invariants.sent(message)
      this.#network.push(message)
    }
    if (this.#network.length > networkMax) this.#network.splice(0, this.#network.length - networkMax)
  }

  /** One that believes it leads, if there is any. */
  #anyLeader(): SimulatedReplica {
    const leaders = this.#replicas.filter(({ raft }) => raft?.status().role === 'leader')
    return this.#pick(leaders.length > 0 ? leaders : this.#replicas)
  }

  #trace(line: string): void {
    this.#init.trace?.(line)
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)]
    invariant(item !== undefined, 'nothing to pick from')
    return item
  }
}
