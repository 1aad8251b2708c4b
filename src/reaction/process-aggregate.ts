// An instance of a process is an aggregate of its own, in the partition that its correlation names. Each thing that it is
// told is one event, which holds the new state and what is to be done: what was decided once is never decided again.
import type { AnyAggregate } from '../core/aggregate.ts'
import type { Command } from '../core/command.ts'
import type { DomainEvent, EventEnvelope } from '../core/event.ts'
import { isSystemType, systemPrefix } from '../core/system-types.ts'
import { type Actions, noActions, type ProcessAction, type Send, sortActions } from './actions.ts'
import type { AnyProcess, ProcessReaction, ProcessRejection } from './define-process.ts'

/** What an instance is told, as its commands. */
export type InstanceCommand =
  | Command<'React', { readonly event: EventEnvelope }>
  | Command<'Rejected', { readonly rejection: ProcessRejection; readonly commandId: string }>
  | Command<'Fire', { readonly name: string; readonly setBy: number }>

/** The only type of event of an instance. */
export const reactedType = 'Reacted'

/** Its data, as they rest in the log. What is empty is left out. */
export interface Reacted {
  readonly input:
    | { readonly type: 'event'; readonly id: string; readonly event: string }
    | { readonly type: 'rejection'; readonly commandId: string; readonly code: string }
    | { readonly type: 'timer'; readonly name: string; readonly setBy: number }
  /** Left out: unchanged. */
  readonly state?: unknown
  readonly sends?: readonly Pick<Send, 'aggregate' | 'command'>[]
  /** Set in this step. */
  readonly timers?: readonly {
    readonly name: string
    readonly delayMs: number
    readonly sends: readonly Pick<Send, 'aggregate' | 'command'>[]
  }[]
  /** Names of timers that are no more. */
  readonly cancelled?: readonly string[]
  readonly ended?: true
}

export interface InstanceState {
  /** The user's. */
  readonly state: unknown
  /** Of the last event: every step is one. */
  readonly sequence: number
  /** Those that are not due yet, by name. */
  readonly timers: Readonly<
    Record<string, { readonly setBy: number; readonly sends: readonly Pick<Send, 'aggregate' | 'command'>[] }>
  >
  readonly ended: boolean
}

const typePrefix = `${systemPrefix}process.`

export const instanceType = (process: string): string => `${typePrefix}${process}`

/** The process that an aggregate type belongs to; undefined for other types. */
export const processOf = (aggregateType: string): string | undefined =>
  isSystemType(aggregateType) && aggregateType.startsWith(typePrefix)
    ? aggregateType.slice(typePrefix.length)
    : undefined

/** States are small, and most instances short. */
const snapshotEvery = 50

export function processAggregate(process: AnyProcess): AnyAggregate {
  const emptyState: InstanceState = { state: process.emptyState, sequence: 0, timers: {}, ended: false }
  return { type: instanceType(process.name), emptyState, snapshotEvery, handle, apply }

  function handle(instance: InstanceState, command: InstanceCommand) {
    // For ever: a retry is told the same.
    if (instance.ended) return []
    switch (command.type) {
      case 'React': {
        const { event } = command.data
        const input = { type: 'event', id: event.id, event: event.type } as const
        return step(instance, input, process.react(instance.state, event))
      }
      case 'Rejected': {
        const { rejection, commandId } = command.data
        const input = { type: 'rejection', commandId, code: rejection.code } as const
        return step(instance, input, process.rejected?.(instance.state, rejection))
      }
      case 'Fire': {
        const { name, setBy } = command.data
        const timer = instance.timers[name]
        // Cancelled, or set anew: that never comes back.
        if (timer?.setBy !== setBy) return []
        const reacted: Reacted = { input: { type: 'timer', name, setBy }, sends: timer.sends }
        return { type: reactedType, data: reacted }
      }
    }
  }
}

function step(
  instance: InstanceState,
  input: Reacted['input'],
  reaction: ProcessReaction<unknown>,
): { readonly type: string; readonly data: Reacted } {
  const { state, actions } = normalizeReaction(reaction)
  const sequence = instance.sequence + 1
  const timers = actions.timers.map(({ name, delayMs, sends }, ordinal) => ({
    // No name of a user has this form: two of them never meet.
    name: name ?? `#${sequence}.${ordinal}`,
    delayMs,
    sends: sends.map(bare),
  }))
  const cancelled = actions.ends ? Object.keys(instance.timers) : actions.cancelled.filter(isSet)
  const data: Reacted = {
    input,
    ...(state === undefined ? {} : { state }),
    ...(actions.sends.length === 0 ? {} : { sends: actions.sends.map(bare) }),
    ...(timers.length === 0 ? {} : { timers }),
    ...(cancelled.length === 0 ? {} : { cancelled }),
    ...(actions.ends ? { ended: true as const } : {}),
  }
  return { type: reactedType, data }

  function isSet(name: string): boolean {
    return Object.hasOwn(instance.timers, name)
  }
}

const bare = ({ aggregate, command }: Send): Pick<Send, 'aggregate' | 'command'> => ({ aggregate, command })

/** Throws for what is none of the forms. */
function normalizeReaction(reaction: unknown): {
  readonly state: unknown
  readonly actions: Actions
} {
  if (reaction === undefined || reaction === null) return { state: undefined, actions: noActions }
  if (Array.isArray(reaction)) return { state: undefined, actions: sortActions(reaction) }
  if (typeof reaction !== 'object' || 'then' in reaction)
    throw new Error('it returned no reaction; allowed: { state?, do? }, a list of actions, or nothing')
  const { state, do: actions, ...rest } = reaction as { state?: unknown; do?: readonly ProcessAction[] }
  const unknown = Object.keys(rest)
  if (unknown.length > 0) throw new Error(`it returned ${unknown.join(', ')}; allowed: state, do`)
  return { state, actions: actions === undefined ? noActions : sortActions(actions) }
}

function apply(instance: InstanceState, { data }: DomainEvent<string, Reacted>): InstanceState {
  const sequence = instance.sequence + 1
  const timers = { ...instance.timers }
  for (const name of data.cancelled ?? []) delete timers[name]
  if (data.input.type === 'timer') delete timers[data.input.name]
  for (const { name, sends } of data.timers ?? []) timers[name] = { setBy: sequence, sends }
  return {
    state: 'state' in data ? data.state : instance.state,
    sequence,
    timers,
    ended: data.ended ?? false,
  }
}
