// Whether the aggregates that are loaded can read the history that rests here: told when the node starts, and by `doctor`,
// and not only when an event is met that none of them knows.
import type { AnyAggregate } from '../core/aggregate.ts'
import type { AggregateKey } from '../core/command.ts'
import type { StoredEvent } from '../core/record.ts'
import { isSystemType } from '../core/system-types.ts'
import { type Misfit, misfitInWords, misfitOf } from '../core/upcast.ts'
import type { EventKind, LocalStore } from '../store/store.ts'

/** Events of one kind that no aggregate which is loaded can read. */
export interface UncoveredKind {
  readonly aggregateType: string
  readonly eventType: string
  readonly version: number
  readonly events: number
  /** `unknown-aggregate`: no file defines the aggregate type. */
  readonly misfit: Extract<Misfit, 'unknown-type' | 'unknown-version'> | 'unknown-aggregate'
  /** Where the first of them is, in the lowest partition that has any; null when it is gone meanwhile. */
  readonly first: {
    readonly partition: number
    readonly index: number
    readonly aggregate: AggregateKey
    readonly sequence: number
  } | null
}

type Definitions = ReadonlyMap<string, { readonly definition: AnyAggregate }>
type HistoryReader = Pick<LocalStore, 'eventKinds' | 'readPartition'>

/** As much as was ever written differently is read: one row for each kind of event, and one entry for each that is not known. */
export function uncoveredKinds(store: HistoryReader, aggregates: Definitions): readonly UncoveredKind[] {
  return store.eventKinds().flatMap(kind => {
    if (isSystemType(kind.aggregateType)) return []
    const misfit = misfitOfKind(aggregates, kind)
    if (misfit === null) return []
    const { aggregateType, eventType, version, events } = kind
    return [{ aggregateType, eventType, version, events, misfit, first: firstOf(store, kind) }]
  })
}

/** A line for each kind that is not known, one for each aggregate type without a file. */
export function coverageProblems(kinds: readonly UncoveredKind[], aggregates: Definitions): string[] {
  const ofTypes = new Map<string, number>()
  for (const { misfit, aggregateType, events } of kinds)
    if (misfit === 'unknown-aggregate') ofTypes.set(aggregateType, (ofTypes.get(aggregateType) ?? 0) + events)
  return [
    ...[...ofTypes].map(
      ([type, events]) =>
        `the history has ${inEvents(events)} of ${type}, and no aggregate of that type is loaded: bring its file, or cure it, and start the node again`,
    ),
    ...kinds.flatMap(kind => {
      const definition = aggregates.get(kind.aggregateType)?.definition
      if (kind.misfit === 'unknown-aggregate' || definition === undefined) return []
      return [
        `${kind.aggregateType}: the history has ${inEvents(kind.events)} ${misfitInWords(definition, { type: kind.eventType, version: kind.version })}${placeInWords(kind)}. ` +
          `Their aggregates are quarantined when they are met; ${remedy(kind)}, and start the node again`,
      ]
    }),
  ]
}

const remedy = ({ misfit, aggregateType }: UncoveredKind): string =>
  misfit === 'unknown-version'
    ? `the file of ${aggregateType} is older than its history: bring the newer one`
    : `add the event to the file of ${aggregateType}`

export const placeInWords = ({ first }: UncoveredKind): string =>
  first === null
    ? ''
    : ` (first: ${first.aggregate.type}/${first.aggregate.id}, sequence ${first.sequence}, partition ${first.partition}, index ${first.index})`

const inEvents = (events: number): string => `${events} event${events === 1 ? '' : 's'}`

function misfitOfKind(aggregates: Definitions, kind: EventKind): UncoveredKind['misfit'] | null {
  const definition = aggregates.get(kind.aggregateType)?.definition
  if (definition === undefined) return 'unknown-aggregate'
  return misfitOf(definition, { type: kind.eventType, version: kind.version })
}

function firstOf(store: HistoryReader, kind: EventKind): UncoveredKind['first'] {
  const { partition, index } = kind.first
  const rows = store.readPartition(partition, { afterIndex: index - 1, throughIndex: index, limit: 1 })
  const row = rows.find(each => isOfKind(kind, each))
  if (row === undefined) return null
  const aggregate = { type: row.aggregateType, id: row.aggregateId }
  return { partition, index, aggregate, sequence: row.sequence }
}

const isOfKind = (kind: EventKind, row: StoredEvent): boolean =>
  row.aggregateType === kind.aggregateType && row.type === kind.eventType && row.version === kind.version
