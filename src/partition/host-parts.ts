// What both hosts of aggregates do alike: names, refusals, decisions.
import type { AnyAggregate } from '../core/aggregate.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import { type Decided, decide } from '../core/decide.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import { isSystemType } from '../core/system-types.ts'
import { refusalOf } from './kept-outcome.ts'

/** An aggregate's code and the name of that code: snapshots of other code are ignored. */
export interface AggregateBinding {
  readonly definition: AnyAggregate
  readonly definitionId: string
}

/** A command id counts per aggregate: people use one for both sides of a transfer. */
export const underWayKey = ({ type, id }: AggregateKey, commandId: string): string =>
  `${type}\u0000${id}\u0000${commandId}`

export const actorName = ({ type, id }: AggregateKey): string => `${type}\u0000${id}`

/** Throws UNKNOWN_AGGREGATE_TYPE that names those of users. */
export function findBinding(
  aggregates: ReadonlyMap<string, AggregateBinding>,
  type: string,
): AggregateBinding {
  const binding = aggregates.get(type)
  if (binding !== undefined) return binding
  const allowed = [...aggregates.keys()].filter(known => !isSystemType(known)).sort()
  const list = allowed.length === 0 ? 'none is loaded' : allowed.join(', ')
  throw new GlynError(
    'UNKNOWN_AGGREGATE_TYPE',
    `no aggregate type ${JSON.stringify(type)}; allowed: ${list}`,
    {
      details: { allowed },
    },
  )
}

/** What the aggregate's own code throws depends on the state it saw, and waits for it like a rejection. */
export function decideOrFail(
  definition: AnyAggregate,
  state: unknown,
  envelope: CommandEnvelope,
): Decided | { readonly type: 'failed'; readonly error: GlynError } {
  try {
    return decide(definition, state, envelope.command)
  } catch (error) {
    if (hasCode(error, 'AGGREGATE_FAILED')) return { type: 'failed', error }
    const rejection = envelope.keepsOutcome === true ? refusalOf(error) : undefined
    if (rejection !== undefined) return { type: 'rejected', rejection }
    throw error
  }
}

/** Throws OVERLOADED past a bound. */
export function refuseOverload(
  found: { readonly underWay: number; readonly bytes: number },
  allowed: { readonly underWay: number; readonly bytes: number },
): void {
  if (found.bytes >= allowed.bytes) {
    throw new GlynError(
      'OVERLOADED',
      `${found.bytes} bytes wait for their commit on this node; allowed: ${allowed.bytes}`,
    )
  }
  if (found.underWay < allowed.underWay) return
  throw new GlynError(
    'OVERLOADED',
    `${found.underWay} commands and reads are under way on this node; allowed: ${allowed.underWay}`,
  )
}

/** A copy, as a caller on another node would get it: callers may change what they were given. */
export function asRemote(type: string, state: unknown): unknown {
  try {
    const text = JSON.stringify(state)
    return text === undefined ? undefined : (JSON.parse(text) as unknown)
  } catch (cause) {
    throw new GlynError('AGGREGATE_FAILED', `${type}: the state is not JSON: ${String(cause)}`, { cause })
  }
}

export const defaultActorsMax = 100_000
export const defaultCacheBytesMax = 128 * 1024 * 1024
export const defaultPendingMax = 50_000
export const defaultPendingBytesMax = 128 * 1024 * 1024
