// What a shared store refuses to write, whichever adapter: names and texts that would not come back as they were.

import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { checkName } from '../core/names.ts'
import type { Append, AppendResult } from './shared-store.ts'

/** Throws INVALID_ARGUMENT that names the append, the field, its value and what is allowed. `partitions` as the store is bound. */
export function checkAppends(appends: readonly Append[], partitions: number): void {
  for (const [number, append] of appends.entries()) checkAppend(append, { number, partitions })
}

interface Place {
  readonly number: number
  readonly partitions: number
}

function checkAppend(append: Append, { number, partitions }: Place): void {
  const at = `append ${number}`
  checkName(`${at}: aggregate.type`, append.aggregate.type)
  checkName(`${at}: aggregate.id`, append.aggregate.id)
  checkName(`${at}: commandId`, append.commandId)
  checkWhole(`${at}: partition`, append.partition, { min: 1, max: partitions })
  checkWhole(`${at}: expectedSequence`, append.expectedSequence, { min: 0 })
  checkWhole(`${at}: timeMs`, append.timeMs, { min: Number.MIN_SAFE_INTEGER })
  checkText(`${at}: metadata`, append.metadata)
  if (append.events.length === 0 || append.events.length > limits.eventsPerCommandMax) {
    refuse(`${at}: events`, append.events.length, `1 to ${limits.eventsPerCommandMax} of them`)
  }
  for (const [offset, event] of append.events.entries()) {
    checkName(`${at}: events[${offset}].type`, event.type)
    checkWhole(`${at}: events[${offset}].version`, event.version, { min: 0, max: 0x7fff_ffff })
    checkText(`${at}: events[${offset}].data`, event.data)
  }
}

function checkWhole(field: string, value: number, range: { readonly min: number; readonly max?: number }) {
  const max = range.max ?? Number.MAX_SAFE_INTEGER
  if (Number.isSafeInteger(value) && value >= range.min && value <= max) return
  refuse(field, value, `a whole number from ${range.min} to ${max}`)
}

/** JSON itself has neither: it escapes control characters, and a half character may be written as an escape. */
function checkText(field: string, value: string): void {
  if (typeof value === 'string' && !value.includes('\u0000') && value.isWellFormed()) return
  refuse(
    field,
    value,
    'JSON text without the character NUL and half characters (lone surrogates), which it can escape',
  )
}

function refuse(field: string, value: unknown, allowed: string): never {
  const shown = (JSON.stringify(value) ?? String(value)).slice(0, 80)
  throw new GlynError('INVALID_ARGUMENT', `${field} is ${shown}; allowed: ${allowed}`)
}

/** What an atomic call throws when one of its appends is refused. `number` is its place in the call, from 0. */
export function rolledBack(
  location: string,
  refused: { readonly number: number; readonly append: Append; readonly result: AppendResult },
): GlynError {
  const { number, append, result } = refused
  const { type, id } = append.aggregate
  const reason =
    result.type === 'conflict'
      ? `it expects ${type}/${id} at sequence ${append.expectedSequence}, which would be at ${result.sequence}`
      : `command ${append.commandId} of ${type}/${id} has taken effect already`
  return new GlynError(
    'TRANSACTION_ROLLED_BACK',
    `store ${location}: nothing was written, because append ${number} is refused: ${reason}`,
    { details: { append: number, aggregate: append.aggregate, commandId: append.commandId, result } },
  )
}
