// What clients were told, measured against what is committed: acknowledged is durable on a majority and stays, one outcome
// per command id, and every answer fits the order in which people could see things happen (linearizability).
import { isDeepStrictEqual } from 'node:util'
import type { AnyAggregate } from '../../core/aggregate.ts'
import type { AggregateKey, CommandEnvelope } from '../../core/command.ts'
import { decide } from '../../core/decide.ts'
import type { Accepted, Outcome, Rejected } from '../../core/outcome.ts'
import { peerIdOf, storageIdOf } from '../../core/replica-id.ts'
import type { LoadedState } from '../../partition/aggregate-host.ts'
import type { Configuration } from '../../raft/configuration.ts'
import { majorityOf } from '../../raft/quorum.ts'
import type { LocalStore } from '../../store/store.ts'
import { type AggregateHistory, type Canon, nameOf, sameBytes } from './canon.ts'
import type { About } from './story.ts'

export interface LedgerInit {
  readonly canon: Canon
  readonly aggregates: ReadonlyMap<string, AnyAggregate>
  /** What is durable on a disk, by storage id; of a disk that was lost, what was: it counted when it was asked. */
  readonly disk: (storageId: string) => LocalStore | undefined
  /** What is durable on every disk there is, or was. */
  readonly disks: () => readonly LocalStore[]
  /** Configurations from this index on, committed or not: each counts from when it is appended. */
  readonly configurationsFrom: (partition: number, index: number) => readonly Configuration[]
  readonly violated: (text: string, about: About) => void
}

/** What was known when a request was sent. */
export interface Asked {
  readonly aggregate: AggregateKey
  /** Peer id of the node that was asked. */
  readonly of: string
  /** Events of the aggregate that somebody had seen before: the answer must be younger. */
  readonly seen: number
  /** Whether the command was committed before. */
  readonly wasCommitted: boolean
}

export class Ledger {
  readonly #init: LedgerInit
  readonly #seen = new Map<string, number>()
  readonly #sent = new Map<string, CommandEnvelope>()
  /** Accepted outcomes with events, by aggregate and command id. */
  readonly #accepted = new Map<string, Accepted>()

  constructor(init: LedgerInit) {
    this.#init = init
  }

  get acceptedCount(): number {
    return this.#accepted.size
  }

  /** Commands that were answered with events. */
  accepted(): Iterable<Accepted> {
    return this.#accepted.values()
  }

  wasAsked = (aggregate: AggregateKey, commandId: string): boolean =>
    this.#sent.has(keyOf(aggregate, commandId))

  sends(envelope: CommandEnvelope, of: string): Asked {
    const { aggregate, commandId } = envelope
    this.#sent.set(keyOf(aggregate, commandId), envelope)
    const wasCommitted = this.#historyOf(aggregate)?.commands.has(commandId) === true
    return { aggregate, of, seen: this.seenOf(aggregate), wasCommitted }
  }

  reads(aggregate: AggregateKey, of: string): Asked {
    return { aggregate, of, seen: this.seenOf(aggregate), wasCommitted: false }
  }

  /** Somebody has seen this event: nobody may be shown less from now on, who asks for the truth. */
  saw(aggregate: AggregateKey, sequence: number): void {
    if (sequence > this.seenOf(aggregate)) this.#seen.set(nameOf(aggregate), sequence)
  }

  seenOf(aggregate: AggregateKey): number {
    return this.#seen.get(nameOf(aggregate)) ?? 0
  }

  answered(envelope: CommandEnvelope, asked: Asked, outcome: Outcome): void {
    if (outcome.type === 'rejected') this.#rejected(envelope, asked, outcome)
    else if (outcome.events.length === 0) this.#acceptedWithoutEvents(envelope, asked, outcome)
    else this.#acceptedWithEvents(envelope, asked, outcome)
  }

  loaded(asked: Asked, loaded: LoadedState): void {
    const { aggregate } = asked
    const history = this.#historyOf(aggregate)
    const name = `${nameOf(aggregate)}, asked of ${asked.of},`
    const committed = history?.events.length ?? 0
    const { sequence, state } = loaded
    if (sequence < asked.seen) {
      this.#violated(
        aggregate,
        `${name} was read at sequence ${sequence}, though ${asked.seen} had been seen before`,
      )
      return
    }
    if (sequence > committed) {
      this.#violated(
        aggregate,
        `${name} was read at sequence ${sequence}, but only ${committed} are committed`,
      )
      return
    }
    const expected = history?.states[sequence] ?? this.#init.aggregates.get(aggregate.type)?.emptyState
    if (!isDeepStrictEqual(plain(state), plain(expected))) {
      const text = `${name} was read as ${JSON.stringify(state)} at sequence ${sequence}; its events make ${JSON.stringify(expected)}`
      this.#violated(aggregate, text)
      return
    }
    this.saw(aggregate, sequence)
  }

  #acceptedWithEvents(envelope: CommandEnvelope, asked: Asked, outcome: Accepted): void {
    const { aggregate, commandId } = envelope
    const { partition, index } = outcome.position
    const told = `command ${commandId} of ${nameOf(aggregate)}`
    const complain = (text: string): void =>
      this.#init.violated(text, { partition, aggregate: nameOf(aggregate) })
    const canonical = this.#init.canon.log(partition)[index - 1]
    if (canonical === undefined || canonical.record?.commandId !== commandId) {
      complain(`${told} was acknowledged at entry ${index}, where it is not committed`)
      return
    }
    const history = this.#historyOf(aggregate)
    const first = canonical.record.firstSequence
    const rows = history?.events.slice(first - 1, first - 1 + canonical.record.events.length) ?? []
    const isSame =
      rows.length === outcome.events.length &&
      rows.every((row, place) => {
        const event = outcome.events[place]
        return (
          event?.sequence === row.sequence &&
          event.type === row.type &&
          isDeepStrictEqual(event.data, JSON.parse(row.data))
        )
      })
    if (!isSame) complain(`${told} was acknowledged with events that are not those of entry ${index}`)
    if (!asked.wasCommitted && !outcome.replayed && first <= asked.seen) {
      complain(`${told} took sequence ${first}, though ${asked.seen} had been seen before it was sent`)
    }
    this.#checkDurable(outcome, told)
    this.#accepted.set(keyOf(aggregate, commandId), outcome)
    this.saw(aggregate, outcome.sequence)
  }

  #acceptedWithoutEvents(envelope: CommandEnvelope, asked: Asked, outcome: Accepted): void {
    const { aggregate, commandId } = envelope
    if (asked.wasCommitted) {
      this.#violated(
        aggregate,
        `command ${commandId} of ${nameOf(aggregate)} has events, and a retry was told of none`,
      )
    }
    this.#checkDecision(
      envelope,
      asked,
      'without events',
      decided => decided.type === 'accepted' && decided.events.length === 0,
    )
    this.saw(aggregate, Math.min(outcome.sequence, this.#historyOf(aggregate)?.events.length ?? 0))
  }

  #rejected(envelope: CommandEnvelope, asked: Asked, outcome: Rejected): void {
    const { aggregate, commandId } = envelope
    if (asked.wasCommitted) {
      this.#violated(
        aggregate,
        `command ${commandId} of ${nameOf(aggregate)} is committed, and a retry was rejected: ${outcome.message}`,
      )
    }
    this.#checkDecision(
      envelope,
      asked,
      `rejected (${outcome.message})`,
      decided =>
        decided.type === 'rejected' &&
        decided.rejection.code === outcome.code &&
        decided.rejection.message === outcome.message,
    )
  }

  /** One of the states that were true between question and answer must decide so. */
  #checkDecision(
    envelope: CommandEnvelope,
    asked: Asked,
    how: string,
    fits: (decided: ReturnType<typeof decide>) => boolean,
  ): void {
    const { aggregate, command } = envelope
    const definition = this.#init.aggregates.get(aggregate.type)
    if (definition === undefined) return
    const states = this.#historyOf(aggregate)?.states ?? [definition.emptyState]
    for (let sequence = asked.seen; sequence < states.length; sequence += 1) {
      if (fits(decide(definition, states[sequence], command))) return
    }
    const text = `command ${envelope.commandId} of ${nameOf(aggregate)}, asked of ${asked.of}, was answered: ${how}; no state from sequence ${asked.seen} to ${states.length - 1} decides so`
    this.#violated(aggregate, text)
  }

  /** G1: on the disks of a majority, under a configuration that may count. */
  #checkDurable({ position: { partition, index }, replicas }: Accepted, told: string): void {
    const entry = this.#init.canon.log(partition)[index - 1]?.entry
    const configurations = this.#init.canon.configurations(partition)
    if (entry === undefined) return
    const holds = (id: string): boolean => {
      const hash = this.#init.disk(storageIdOf(id))?.log(partition).hash(index)
      return hash !== undefined && sameBytes(hash, entry.hash)
    }
    const held = this.#init.disks().filter(disk => {
      const hash = disk.log(partition).hash(index)
      return hash !== undefined && sameBytes(hash, entry.hash)
    }).length
    if (held < replicas) {
      this.#init.violated(`${told} was acknowledged with ${replicas} replicas, but ${held} disks hold it`, {
        partition,
      })
    }
    const inEffect = configurations.findLast(known => known.index <= index)
    const candidates = this.#init
      .configurationsFrom(partition, inEffect?.index ?? 1)
      .map(({ voters }) => voters)
    if (candidates.some(voters => voters.filter(holds).length >= majorityOf(voters.length))) return
    const holders = [...new Set(candidates.flat())].filter(holds).map(peerIdOf)
    const text = `${told} was acknowledged at entry ${index} with ${replicas} replicas, but it is durable only on ${holders.join(', ') || 'no disk'}`
    this.#init.violated(text, { partition })
  }

  #historyOf(aggregate: AggregateKey): AggregateHistory | undefined {
    return this.#init.canon.aggregate(aggregate)
  }

  #violated(aggregate: AggregateKey, text: string): void {
    const partition = this.#historyOf(aggregate)?.partition
    this.#init.violated(text, {
      aggregate: nameOf(aggregate),
      ...(partition === undefined ? {} : { partition }),
    })
  }
}

const keyOf = (aggregate: AggregateKey, commandId: string): string => `${nameOf(aggregate)} ${commandId}`
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))
