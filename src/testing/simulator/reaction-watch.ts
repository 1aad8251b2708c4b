// What handlers and processes did, measured against what is committed: a handler missed no event and took them in order;
// a process was told of each of its events once, and every command that it decided took effect once, or was refused once.
import type { AggregateKey } from '../../core/command.ts'
import type { EventEnvelope } from '../../core/event.ts'
import type { StoredEvent } from '../../core/record.ts'
import { isSystemType } from '../../core/system-types.ts'
import { keptOutcomeType } from '../../partition/kept-outcome.ts'
import { type AnyHandler, normalizeHandler } from '../../reaction/define-handler.ts'
import type { AnyProcess } from '../../reaction/define-process.ts'
import { outputId } from '../../reaction/derived-id.ts'
import { passes } from '../../reaction/filter.ts'
import {
  type InstanceState,
  instanceType,
  processOf,
  type Reacted,
} from '../../reaction/process-aggregate.ts'
import { toEventEnvelope } from '../../store/event-envelope.ts'
import { type Canon, nameOf } from './canon.ts'
import type { About } from './story.ts'

/** Timers with a longer delay are not waited for when all is over. */
const delayMsAwaited = 10_000

export interface ReactionWatchInit {
  readonly canon: () => Canon
  readonly handlers: readonly AnyHandler[]
  readonly processes: readonly AnyProcess[]
  readonly violated: (text: string, about: About) => void
  /** Thrown dice: the user's own code throws now and then. */
  readonly mayThrow: () => boolean
}

interface DecidedCommand {
  readonly aggregate: AggregateKey
  readonly process: string
  readonly instance: string
  outcome: 'none' | 'executed' | 'rejected' | 'nothing'
  isRejectionTold: boolean
}

interface OpenTimer {
  readonly setBy: number
  readonly delayMs: number
}

/** One handler in one partition. */
interface Handled {
  /** Events that it wants, by id: their places in the order of the partition. */
  readonly due: Map<string, number>
  /** So many of them, from the first, were handled. Null: none, and it begins at any of them. */
  count: number | null
}

export class ReactionWatch {
  readonly #init: ReactionWatchInit
  readonly #committed = new Set<string>()
  /** By process and event: those that it was not told of yet, with their instances. */
  readonly #untold = new Map<string, { readonly process: string; readonly instance: string }>()
  readonly #told = new Set<string>()
  readonly #decided = new Map<string, DecidedCommand>()
  readonly #timers = new Map<string, OpenTimer>()
  readonly #handled = new Map<string, Handled>()
  /** For reports: so many commands of processes have an outcome, and timers have fired. */
  commands = 0
  fired = 0

  constructor(init: ReactionWatchInit) {
    this.#init = init
  }

  /** The handlers as they run on one node. */
  handlers(on: string): readonly AnyHandler[] {
    return this.#init.handlers.map(handler => ({
      ...handler,
      handle: async (event, context) => {
        if (this.#init.mayThrow()) throw new Error('the simulator lets the handler throw before its effect')
        this.#sees(handler, event, { key: context.idempotencyKey, on })
        await handler.handle(event, context)
        if (this.#init.mayThrow()) throw new Error('the simulator lets the handler throw after its effect')
      },
    }))
  }

  /** The processes as they run: their code throws when the dice say so. */
  processes(): readonly AnyProcess[] {
    const { mayThrow } = this.#init
    return this.#init.processes.map(process => ({
      ...process,
      react(state: unknown, event: EventEnvelope) {
        if (mayThrow()) throw new Error('the simulator lets the process throw')
        return process.react(state, event)
      },
    }))
  }

  /** True for a command that a step of a process has decided, to this aggregate. */
  wasDecided = (aggregate: AggregateKey, commandId: string): boolean => {
    const decided = this.#decided.get(commandId)
    return decided !== undefined && nameOf(decided.aggregate) === nameOf(aggregate)
  }

  /** The rows of one command were committed. */
  committed(rows: readonly StoredEvent[]): void {
    for (const row of rows) {
      const process = processOf(row.aggregateType)
      if (process !== undefined) this.#step(process, row)
      else if (row.aggregateType === keptOutcomeType) this.#kept(row)
      else if (!isSystemType(row.aggregateType)) this.#happened(row)
    }
    const [first] = rows
    if (first === undefined || isSystemType(first.aggregateType)) return
    const decided = this.#decided.get(first.commandId)
    if (decided !== undefined) this.#ends(decided, 'executed', first)
  }

  /** The first thing that is not done yet, or null. */
  missing(): string | null {
    for (const [key, { process, instance }] of this.#untold) {
      if (!this.#hasEnded(process, instance)) return `process ${process} was not told of an event: ${key}`
    }
    for (const [id, { outcome, isRejectionTold, process, instance }] of this.#decided) {
      if (outcome === 'none') return `command ${id} of process ${process} has no outcome`
      if (outcome === 'rejected' && !isRejectionTold && !this.#hasEnded(process, instance))
        return `process ${process} was not told that command ${id} is rejected`
    }
    for (const [key, { delayMs }] of this.#timers) {
      if (delayMs <= delayMsAwaited) return `timer ${key} has not fired`
    }
    for (const [key, { due, count }] of this.#handled) {
      if (count !== null && count < due.size)
        return `handler ${key} has handled ${count} events of ${due.size}`
    }
    return null
  }

  /** A user's event. */
  #happened(row: StoredEvent): void {
    const event = toEventEnvelope(row)
    this.#committed.add(event.id)
    for (const process of this.#init.processes) {
      if (!passes(process.filter, row) || process.startFrom !== 'beginning') continue
      const instance = process.correlate(event)
      if (instance !== null)
        this.#untold.set(`${process.name} ${event.id}`, { process: process.name, instance })
    }
    for (const handler of this.#init.handlers) {
      if (!passes(handler.filter, row)) continue
      const handled = this.#handledBy(handler, row.partition)
      handled.due.set(event.id, handled.due.size)
    }
  }

  #handledBy(handler: AnyHandler, partition: number): Handled {
    const key = `${handler.name} of partition ${partition}`
    const known = this.#handled.get(key)
    if (known !== undefined) return known
    const count = normalizeHandler(handler).startFrom === 'beginning' ? 0 : null
    const handled = { due: new Map<string, number>(), count }
    this.#handled.set(key, handled)
    return handled
  }

  #sees(handler: AnyHandler, event: EventEnvelope, { key, on }: { key: string; on: string }): void {
    const { partition } = event.position
    const handled = this.#handledBy(handler, partition)
    const place = handled.due.get(event.id)
    const complain = (what: string): void =>
      this.#init.violated(`handler ${handler.name} on ${on} ${what}`, { partition })
    if (place === undefined) complain(`got ${event.id}, which it does not want or which is not committed`)
    else if (handled.count !== null && place > handled.count)
      complain(`got ${event.id}, its event number ${place + 1}, after ${handled.count} of them`)
    else handled.count = Math.max(handled.count ?? 0, place + 1)
    if (key !== `${handler.name}:${event.id}`) complain(`got the key ${key} with ${event.id}`)
  }

  #step(process: string, row: StoredEvent): void {
    const { aggregateId: instance, sequence } = row
    const reacted = JSON.parse(row.data) as Reacted
    const { input } = reacted
    const about = { partition: row.partition, aggregate: `${row.aggregateType}/${instance}` }
    const complain = (text: string): void => this.#init.violated(`process ${process}: ${text}`, about)
    if (input.type === 'event') {
      const key = `${process} ${input.id}`
      if (this.#told.has(key)) complain(`it was told twice of ${input.id}`)
      if (!this.#committed.has(input.id)) complain(`it was told of ${input.id}, which is not committed`)
      this.#told.add(key)
      this.#untold.delete(key)
    } else if (input.type === 'rejection') {
      const decided = this.#decided.get(input.commandId)
      if (decided?.outcome !== 'rejected')
        complain(`it was told that ${input.commandId} is rejected, which is ${decided?.outcome}`)
      else if (decided.isRejectionTold) complain(`it was told twice that ${input.commandId} is rejected`)
      else decided.isRejectionTold = true
    } else {
      const open = this.#timers.get(timerOf(process, instance, input.name))
      if (open?.setBy !== input.setBy) complain(`timer ${input.name} of ${instance} fired, which was not set`)
      this.fired += 1
      this.#timers.delete(timerOf(process, instance, input.name))
    }
    for (const name of reacted.cancelled ?? []) this.#timers.delete(timerOf(process, instance, name))
    for (const { name, delayMs } of reacted.timers ?? [])
      this.#timers.set(timerOf(process, instance, name), { setBy: sequence, delayMs })
    for (const [ordinal, { aggregate }] of (reacted.sends ?? []).entries()) {
      const decided = { aggregate, process, instance, outcome: 'none', isRejectionTold: false } as const
      this.#decided.set(outputId(process, instance, { sequence, ordinal }), { ...decided })
    }
  }

  #kept(row: StoredEvent): void {
    const decided = this.#decided.get(row.commandId)
    if (decided === undefined) {
      this.#init.violated(`an outcome of ${row.commandId} is kept, which no process decided`, row)
      return
    }
    this.#ends(decided, row.type === 'Rejected' ? 'rejected' : 'nothing', row)
  }

  #ends(decided: DecidedCommand, outcome: DecidedCommand['outcome'], row: StoredEvent): void {
    if (decided.outcome !== 'none') {
      const text = `command ${row.commandId} of process ${decided.process} was ${decided.outcome}, and then ${outcome}`
      this.#init.violated(text, { partition: row.partition, aggregate: nameOf(decided.aggregate) })
    }
    decided.outcome = outcome
    this.commands += 1
  }

  #hasEnded(process: string, id: string): boolean {
    const states = this.#init.canon().aggregate({ type: instanceType(process), id })?.states
    return (states?.at(-1) as InstanceState | undefined)?.ended === true
  }
}

const timerOf = (process: string, instance: string, name: string): string =>
  `${name} of ${process}/${instance}`
