// Aggregates whose history does not fit the code that is loaded: found out once, remembered, and refused from then on,
// until the code is another. All other aggregates go on.
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Misfit } from '../core/upcast.ts'
import type { ActorLoader } from './actor-loader.ts'
import type { ActorInit } from './aggregate-actor.ts'
import { placeOfMisfit } from './apply-stored.ts'

/** One aggregate, and the first event of it that its code cannot read. */
export interface QuarantinedAggregate {
  readonly aggregate: AggregateKey
  readonly partition: number
  /** Of the event. */
  readonly sequence: number
  readonly eventType: string
  readonly version: number
  readonly misfit: Misfit
  /** What is wrong with it, in words. */
  readonly reason: string
  /** ISO 8601: when it was found out. */
  readonly since: string
}

/** How many aggregates take no commands, and which. */
export interface QuarantineStatus {
  /** Aggregates that were met since the node runs. */
  readonly count: number
  /** The first few of them. */
  readonly first: readonly QuarantinedAggregate[]
}

export interface Quarantine {
  /** The same loader, which loads nothing a second time that failed, and throws AGGREGATE_QUARANTINED. */
  guard(loader: ActorLoader): ActorLoader
  of(aggregate: AggregateKey): QuarantinedAggregate | undefined
  /** Its history reads otherwise from now on: it is loaded when it is met. */
  release(aggregate: AggregateKey): void
  status(): QuarantineStatus
}

/** More are found out again when they are met again: loading them costs time, remembering them memory. */
const rememberedMax = 10_000
const namedMax = 10

export function createQuarantine(init: { readonly clock: Clock; readonly log: Log }): Quarantine {
  const { clock, log } = init
  const known = new Map<string, QuarantinedAggregate & { readonly definitionId: string }>()

  function refuse({ key, definitionId }: ActorInit): void {
    const name = nameOf(key)
    const found = known.get(name)
    if (found === undefined) return
    if (found.definitionId === definitionId) throw quarantinedError(found)
    known.delete(name)
  }

  /** What else went wrong while it was loaded (the store, a leadership) is no matter of its history. */
  function remember({ key, definitionId, partition }: ActorInit, error: unknown): unknown {
    const place = placeOfMisfit(error)
    if (place === undefined) return error
    const found = {
      aggregate: key,
      partition,
      ...place,
      reason: (error as Error).message,
      since: new Date(clock.wallTime()).toISOString(),
      definitionId,
    }
    if (known.size < rememberedMax) known.set(nameOf(key), found)
    const refusal = quarantinedError(found, error)
    log.error(
      { aggregate: `${key.type}/${key.id}`, sequence: found.sequence },
      `aggregate: ${refusal.message}`,
    )
    return refusal
  }

  return {
    guard: loader => ({
      load(actor, isWanted) {
        refuse(actor)
        try {
          const loading = loader.load(actor, isWanted)
          if (!(loading instanceof Promise)) return loading
          return loading.catch((error: unknown) => {
            throw remember(actor, error)
          })
        } catch (error) {
          throw remember(actor, error)
        }
      },
    }),
    of(aggregate) {
      const found = known.get(nameOf(aggregate))
      return found === undefined ? undefined : plain(found)
    },
    release: aggregate => void known.delete(nameOf(aggregate)),
    status: () => ({ count: known.size, first: [...known.values()].slice(0, namedMax).map(plain) }),
  }
}

const plain = ({
  definitionId: _,
  ...rest
}: QuarantinedAggregate & { readonly definitionId: string }): QuarantinedAggregate => rest

const nameOf = ({ type, id }: AggregateKey): string => `${type}\u0000${id}`

/** What to do about it, for people. */
export function remedyOf({ misfit, aggregate }: QuarantinedAggregate): string {
  const { type } = aggregate
  switch (misfit) {
    case 'unknown-version':
      return `the file of ${type} is older than its history: bring the newer file, or its upcast chain, and start the node again`
    case 'unknown-type':
      return `add the event to the file of ${type} (events, apply), or bring the newer file, and start the node again`
    case 'upcast-failed':
    case 'apply-failed':
      return `correct the file of ${type}, and start the node again`
  }
}

function quarantinedError(found: QuarantinedAggregate, cause?: unknown): GlynError {
  const { aggregate, partition, sequence, eventType, version, misfit, reason } = found
  return new GlynError(
    'AGGREGATE_QUARANTINED',
    `${aggregate.type} ${JSON.stringify(aggregate.id)} is quarantined, because event ${sequence} (${eventType} v${version}) does not fit: ${reason}. ` +
      `Other aggregates go on; its events can be read. What to do: ${remedyOf(found)}`,
    {
      ...(cause === undefined ? {} : { cause }),
      details: { aggregate, partition, sequence, eventType, version, misfit },
    },
  )
}
