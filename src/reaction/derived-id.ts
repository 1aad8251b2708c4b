// Command ids that follow from what caused them: whoever sends the command again, after whatever, sends the same id.
import { createHash } from 'node:crypto'
import { limits } from '../core/limits.ts'
import { ownIdPrefix } from '../core/system-types.ts'

/** An event on its way to a process. */
export const inputId = (process: string, eventId: string): string => derived('in', process, eventId)

/** Command number `ordinal` of the step `sequence` of an instance. */
export const outputId = (process: string, instance: string, step: { sequence: number; ordinal: number }) =>
  derived('out', process, `${step.sequence}.${step.ordinal}/${instance}`)

/** The news that this command was rejected. */
export const rejectionId = (process: string, instance: string, step: { sequence: number; ordinal: number }) =>
  derived('no', process, `${step.sequence}.${step.ordinal}/${instance}`)

/** A timer that was set in the step `setBy` is due. */
export const dueId = (process: string, instance: string, timer: { setBy: number; name: string }): string =>
  derived('due', process, `${timer.setBy}/${timer.name}/${instance}`)

/** Names of processes and timers have no slash, so that different causes have different ids. */
function derived(kind: string, process: string, cause: string): string {
  const id = `${ownIdPrefix}${kind}/${process}/${cause}`
  if (Buffer.byteLength(id) <= limits.nameBytesMax) return id
  return `${ownIdPrefix}${kind}/${process}/sha256-${createHash('sha256').update(cause).digest('hex')}`
}
