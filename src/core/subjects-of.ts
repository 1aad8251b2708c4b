// Whom the data of events are about, as their aggregate says.
import type { AnyAggregate } from './aggregate.ts'
import { GlynError } from './errors.ts'
import { checkName } from './names.ts'
import type { RecordedEvent } from './record.ts'
import { forgottenEventType } from './system-types.ts'
import { liftEvent } from './upcast.ts'

/** One for each event, undefined for data that rest as they are. Throws AGGREGATE_FAILED. */
export function subjectsOf(
  aggregate: AnyAggregate,
  aggregateId: string,
  events: readonly RecordedEvent[],
): readonly (string | undefined)[] {
  return events.map(({ type, version, data }) => {
    if (type === forgottenEventType) return undefined
    try {
      // As `apply` sees them: what an import brings may be of an old version, which `subject` does not know.
      const event = liftEvent(aggregate, { type, version, data: JSON.parse(data) as unknown })
      const subject: unknown = aggregate.subject?.(event, aggregateId)
      if (subject === undefined) return undefined
      checkName('it', subject)
      return subject
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new GlynError('AGGREGATE_FAILED', `${aggregate.type}: subject(${type}): ${why}`, { cause })
    }
  })
}
