// What a process does about what it was told: commands at once, commands later, and the end.
import type { AggregateKey, Command } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import { isSystemType, systemPrefix } from '../core/system-types.ts'
import { parseDelay } from './delay.ts'

/** A command to an aggregate. */
export interface Send {
  readonly type: 'send'
  readonly aggregate: AggregateKey
  readonly command: Command
}

/** Commands that are sent when the delay is over, unless the timer was cancelled. */
export interface After {
  readonly type: 'after'
  readonly delayMs: number
  /** Null: it cannot be cancelled by itself. */
  readonly name: string | null
  readonly sends: readonly Send[]
}

/** Forgets a timer; made with `cancel`. */
export interface CancelTimer {
  readonly type: 'cancel'
  readonly name: string
}

/** The end of an instance of a process; made with `end`. */
export interface End {
  readonly type: 'end'
}

/** What a process may do, made with `send`, `after`, `cancel`, `end`. */
export type ProcessAction = Send | After | CancelTimer | End

/** Of one reaction: an entry holds them all. */
const actionsMax = 100
/** `__proto__` is none: names are keys of the state of an instance. */
const timerNamePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

/** Sends a command once, whatever restarts and changes of leadership come. `data` is `{}` when left out. */
export function send(
  type: string,
  id: string,
  command: { readonly type: string; readonly data?: unknown },
): Send {
  checkAggregateKey({ type, id })
  if (isSystemType(type)) {
    throw invalid('send: aggregate type', type, `one that does not begin with ${systemPrefix}`)
  }
  checkName('send: command type', command?.type)
  return {
    type: 'send',
    aggregate: { type, id },
    command: { type: command.type, data: command.data ?? {} },
  }
}

/**
 * Sends commands when the delay is over: `after('15m', send(…), { name: 'payment' })`. The timer is kept with the state of
 * the process. One that is set again under the same name takes the place of the earlier one.
 */
export function after(
  delay: string,
  sends: Send | readonly Send[],
  { name }: { readonly name?: string } = {},
): After {
  const delayMs = parseDelay(delay)
  const list = Array.isArray(sends) ? (sends as readonly Send[]) : [sends as Send]
  if (list.length === 0 || list.some(one => one?.type !== 'send'))
    throw invalid('after: what to do', sends, 'send(…), or a list of those')
  if (name !== undefined) checkTimerName(name)
  return { type: 'after', delayMs, name: name ?? null, sends: list }
}

/** Forgets the timer of this name, if there is one that is not due yet. */
export function cancel(name: string): CancelTimer {
  checkTimerName(name)
  return { type: 'cancel', name }
}

/** This instance of the process is over: its timers are forgotten, and whatever else comes for it is passed over. */
export const end = (): End => ({ type: 'end' })

/** What one reaction came to, in order of kinds. */
export interface Actions {
  readonly sends: readonly Send[]
  readonly timers: readonly After[]
  readonly cancelled: readonly string[]
  readonly ends: boolean
}

export const noActions: Actions = { sends: [], timers: [], cancelled: [], ends: false }

/** Throws INVALID_ARGUMENT for what are no actions. */
export function sortActions(actions: unknown): Actions {
  if (!Array.isArray(actions) || actions.length > actionsMax)
    throw invalid('the actions', actions, `a list of at most ${actionsMax}`)
  const sends: Send[] = []
  const timers: After[] = []
  const cancelled: string[] = []
  let ends = false
  for (const action of actions as readonly ProcessAction[]) {
    if (action?.type === 'send') sends.push(action)
    else if (action?.type === 'after') timers.push(action)
    else if (action?.type === 'cancel') cancelled.push(action.name)
    else if (action?.type === 'end') ends = true
    else throw invalid('an action', action, 'send(…), after(…), cancel(…), end()')
  }
  if (ends && timers.length > 0)
    throw invalid('the actions', 'after(…) together with end()', 'one of them: the end forgets all timers')
  const names = timers.flatMap(({ name }) => (name === null ? [] : [name]))
  if (new Set(names).size < names.length) throw invalid('the names of timers', names, 'each name once')
  return { sends, timers, cancelled, ends }
}

function checkTimerName(name: unknown): void {
  if (typeof name === 'string' && timerNamePattern.test(name)) return
  throw invalid(
    'the name of a timer',
    name,
    'letters, digits, _ . -, starting with a letter or digit, at most 64',
  )
}

function invalid(what: string, found: unknown, allowed: string): GlynError {
  const shown = (JSON.stringify(found) ?? String(found)).slice(0, 200)
  return new GlynError('INVALID_ARGUMENT', `${what}: found ${shown}; allowed: ${allowed}`)
}
