// A stored event is applied; one that its aggregate cannot read is named by the error, from where it is met to where it counts.
import type { AnyAggregate } from '../core/aggregate.ts'
import { applyEvent } from '../core/decide.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { StoredEvent } from '../core/record.ts'
import type { Misfit } from '../core/upcast.ts'

export interface MisfitPlace {
  readonly misfit: Misfit
  /** Of the event. */
  readonly sequence: number
  readonly eventType: string
  readonly version: number
}

/** The state after the event. Throws AGGREGATE_FAILED with a {@link MisfitPlace} as details. */
export function applyStored(definition: AnyAggregate, state: unknown, event: StoredEvent): unknown {
  const { type, version } = event
  const data = JSON.parse(event.data) as unknown
  try {
    return applyEvent(definition, state, { type, version, data })
  } catch (error) {
    throw misfitAt(error, event)
  }
}

/** The failure of `applyEvent`, with the event that it failed at. Other errors stay as they are. */
function misfitAt(error: unknown, event: StoredEvent): unknown {
  if (!hasCode(error, 'AGGREGATE_FAILED')) return error
  const { misfit } = error.details as { readonly misfit: Misfit }
  const { sequence, type: eventType, version } = event
  const details = { misfit, sequence, eventType, version } satisfies MisfitPlace
  return new GlynError('AGGREGATE_FAILED', error.message, { cause: error.cause, details })
}

/** Undefined for a failure of anything else. */
export function placeOfMisfit(error: unknown): MisfitPlace | undefined {
  if (!hasCode(error, 'AGGREGATE_FAILED')) return undefined
  const details = error.details as Partial<MisfitPlace> | undefined
  return details?.misfit === undefined || details.sequence === undefined
    ? undefined
    : (details as MisfitPlace)
}
