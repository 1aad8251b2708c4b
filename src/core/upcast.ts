// Versions of events: the chain of an event type lifts what was written long ago, step by step, to the version of now.
import type { AnyAggregate, Upcast } from './aggregate.ts'
import { GlynError } from './errors.ts'
import type { DomainEvent } from './event.ts'
import { forgottenEventType } from './system-types.ts'

/** Why an event of the history does not fit the aggregate that is loaded. */
export type Misfit = 'unknown-type' | 'unknown-version' | 'upcast-failed' | 'apply-failed'

/** The version that new events of this type are written with: one more than the chain has steps. */
export const currentVersion = (aggregate: AnyAggregate, eventType: string): number =>
  chainOf(aggregate, eventType).length + 1

/** Null when the aggregate can read events of this type and version; else which of the two it does not know. */
export function misfitOf(
  aggregate: AnyAggregate,
  { type, version }: { readonly type: string; readonly version: number },
): Extract<Misfit, 'unknown-type' | 'unknown-version'> | null {
  if (type === forgottenEventType) return null
  if (aggregate.events !== undefined && !aggregate.events.includes(type)) return 'unknown-type'
  return version > currentVersion(aggregate, type) ? 'unknown-version' : null
}

/** The event in its newest version. Throws AGGREGATE_FAILED with `details: { misfit }`. */
export function liftEvent(aggregate: AnyAggregate, event: Required<DomainEvent>): Required<DomainEvent> {
  const steps = chainOf(aggregate, event.type)
  const misfit = misfitOf(aggregate, event)
  if (misfit !== null) throw misfitError(aggregate, event, misfit)
  if (event.version > steps.length) return event
  let { data, version } = event
  for (const step of steps.slice(version - 1)) {
    try {
      data = step(data)
    } catch (cause) {
      throw new GlynError(
        'AGGREGATE_FAILED',
        `${aggregate.type}: upcast of ${event.type} v${version} to v${version + 1} threw: ${messageOf(cause)}`,
        { cause, details: { misfit: 'upcast-failed' satisfies Misfit } },
      )
    }
    version += 1
  }
  return { type: event.type, version, data }
}

/** `CustomerDepositedCash v3, and the aggregate knows versions 1 to 2`. */
export function misfitInWords(
  aggregate: AnyAggregate,
  event: { readonly type: string; readonly version: number },
): string {
  const name = `${event.type} v${event.version}`
  if (misfitOf(aggregate, event) === 'unknown-type')
    return `${name}, and the aggregate knows only ${(aggregate.events ?? []).join(', ')}`
  const newest = currentVersion(aggregate, event.type)
  return `${name}, and the aggregate knows ${newest === 1 ? 'version 1 only' : `versions 1 to ${newest}`}`
}

const none: readonly Upcast[] = []
/** Chains that were given by version, as lists. */
const listed = new WeakMap<object, readonly Upcast[]>()

function chainOf(aggregate: AnyAggregate, eventType: string): readonly Upcast[] {
  const chains = aggregate.upcast as Readonly<Record<string, object | undefined>> | undefined
  if (chains === undefined || !Object.hasOwn(chains, eventType)) return none
  const chain = chains[eventType]
  if (chain === undefined) return none
  if (Array.isArray(chain)) return chain as readonly Upcast[]
  let steps = listed.get(chain)
  if (steps === undefined) {
    const byVersion = chain as Readonly<Record<string, Upcast>>
    steps = Object.keys(byVersion)
      .sort((a, b) => Number(a) - Number(b))
      .flatMap(version => byVersion[version] ?? [])
    listed.set(chain, steps)
  }
  return steps
}

function misfitError(aggregate: AnyAggregate, event: Required<DomainEvent>, misfit: Misfit): GlynError {
  const text = `${aggregate.type}: the history has ${misfitInWords(aggregate, event)}`
  return new GlynError('AGGREGATE_FAILED', text, { details: { misfit } })
}

export const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
