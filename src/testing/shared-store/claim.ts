// One claim about a shared store, and the words for what is wrong with it.
import { isDeepStrictEqual } from 'node:util'
import type { AggregateKey } from '../../core/command.ts'
import { type ErrorCode, hasCode } from '../../core/errors.ts'
import { partitionOf } from '../../core/partition-of.ts'
import type { StoredEvent } from '../../core/record.ts'
import type { Append, AppendResult, SharedStore } from '../../store/shared-store.ts'

export interface SharedStoreClaim {
  /** What every store must do, as a sentence. */
  readonly name: string
  /** Throws a {@link BrokenClaim} when it does not. */
  readonly check: (world: World) => Promise<void>
}

/** Where a claim gets its stores from. All that it opens is closed after it. */
export interface World {
  /** A store object on the claim's data that is open. Each call gives another object, as another node has its own. */
  open(): Promise<SharedStore>
  /** The same before `open`. */
  unopened(): Promise<SharedStore>
}

/** What the kit binds every store to. */
export const binding = { scope: 'conformance', partitions: 4 } as const

interface Finding {
  /** What the kit did. */
  readonly did: string
  readonly expected: string
  readonly came: string
  /** What the author of the store can do about it. */
  readonly advice: string
}

export class BrokenClaim extends Error {
  override readonly name = 'BrokenClaim'
  readonly finding: Finding

  constructor(finding: Finding) {
    super(
      `done:     ${finding.did}\nexpected: ${finding.expected}\ncame:     ${finding.came}\nto do:    ${finding.advice}`,
    )
    this.finding = finding
  }
}

/** Throws unless `came` is deeply equal to `expected`. */
export function expectEqual(found: {
  readonly did: string
  readonly expected: unknown
  readonly came: unknown
  readonly advice: string
}): void {
  const { did, expected, came, advice } = found
  if (isDeepStrictEqual(came, expected)) return
  throw new BrokenClaim({ did, advice, ...differenceOf(expected, came) })
}

/** Throws unless the call fails with this code. */
export async function expectError(found: {
  readonly did: string
  readonly code: ErrorCode
  readonly call: () => Promise<unknown>
  readonly advice: string
}): Promise<void> {
  const { did, code, call, advice } = found
  const broken = (came: string): BrokenClaim =>
    new BrokenClaim({ did, expected: `a GlynError with the code ${code}`, came, advice })
  let value: unknown
  try {
    value = await call()
  } catch (error) {
    if (hasCode(error, code)) return
    throw broken(`the error ${inShort(error)}`)
  }
  throw broken(`no error, but ${inShort(value)}`)
}

/** One place where two lists differ says more than both lists. */
function differenceOf(expected: unknown, came: unknown): { expected: string; came: string } {
  if (Array.isArray(expected) && Array.isArray(came)) {
    if (expected.length !== came.length) {
      const at = expected.findIndex((value, place) => !isDeepStrictEqual(came[place], value))
      const place = at === -1 ? expected.length : at
      return {
        expected: `${expected.length} of them; number ${place} is ${inShort(expected[place])}`,
        came: `${came.length} of them; number ${place} is ${inShort(came[place])}`,
      }
    }
    const at = expected.findIndex((value, place) => !isDeepStrictEqual(came[place], value))
    const inner = differenceOf(expected[at], came[at])
    return {
      expected: `number ${at} is ${inner.expected}`,
      came: `number ${at} is ${inner.came}`,
    }
  }
  return { expected: inShort(expected), came: inShort(came) }
}

export function inShort(value: unknown): string {
  const text =
    value instanceof Error
      ? `${(value as { code?: unknown }).code ?? value.name}: ${value.message}`
      : value === undefined
        ? 'nothing (undefined)'
        : value instanceof Map
          ? `a Map of ${JSON.stringify([...value])}`
          : (JSON.stringify(value) ?? String(value))
  return text.length > 400 ? `${text.slice(0, 300)} … (${text.length} characters)` : text
}

export const key = (id: string, type = 'account'): AggregateKey => ({ type, id })

/** An append to `account/<id>` of that many events. */
export function appendTo(
  id: string,
  expectedSequence: number,
  commandId: string,
  more: { readonly events?: number; readonly data?: string; readonly type?: string } = {},
): Append {
  const aggregate = key(id, more.type)
  return {
    partition: partitionOf(aggregate, binding.partitions),
    aggregate,
    expectedSequence,
    commandId,
    timeMs: 1_700_000_000_123,
    metadata: '{"user":"kit"}',
    events: Array.from({ length: more.events ?? 1 }, (_, offset) => ({
      type: 'Deposited',
      version: 1,
      data: more.data ?? `{"amount":${expectedSequence + offset + 1}}`,
    })),
  }
}

/** Ids of `count` aggregates of one partition. */
export function idsIn(partition: number, count: number): string[] {
  const ids: string[] = []
  for (let number = 0; ids.length < count; number += 1) {
    const id = `p${partition}-${number}`
    if (partitionOf(key(id), binding.partitions) === partition) ids.push(id)
  }
  return ids
}

/** The rows that an append leaves at an index. */
export function rowsOf(append: Append, index: number): StoredEvent[] {
  return append.events.map((event, offset) => ({
    partition: append.partition,
    index,
    offset,
    aggregateType: append.aggregate.type,
    aggregateId: append.aggregate.id,
    sequence: append.expectedSequence + 1 + offset,
    type: event.type,
    version: event.version,
    data: event.data,
    metadata: append.metadata,
    commandId: append.commandId,
    timeMs: append.timeMs,
  }))
}

/** Appends one that must go through, and tells its rows. */
export async function mustAppendRows(store: SharedStore, append: Append): Promise<StoredEvent[]> {
  return rowsOf(append, await mustAppend(store, append))
}

/** The element at a place that is counted round and round. */
export function at<T>(list: readonly T[], place: number): T {
  const found = list[place % list.length]
  if (found === undefined) throw new RangeError(`nothing at ${place}`)
  return found
}

/** The fields of the port, and no others: a store may have more. */
export function plainRows(events: readonly StoredEvent[]): StoredEvent[] {
  return Array.from(events, event => ({
    partition: event.partition,
    index: event.index,
    offset: event.offset,
    aggregateType: event.aggregateType,
    aggregateId: event.aggregateId,
    sequence: event.sequence,
    type: event.type,
    version: event.version,
    data: event.data,
    metadata: event.metadata,
    commandId: event.commandId,
    timeMs: event.timeMs,
  }))
}

export function plainResults(results: readonly AppendResult[]): AppendResult[] {
  return Array.from(results, result => {
    if (result.type === 'appended') return { type: result.type, index: result.index }
    if (result.type === 'conflict') return { type: result.type, sequence: result.sequence }
    return { type: result.type, events: plainRows(result.events) }
  })
}

/** Reads a whole partition in steps of `limit`. */
export async function readWhole(store: SharedStore, partition: number, limit = 1000): Promise<StoredEvent[]> {
  const events: StoredEvent[] = []
  for (;;) {
    const more = await store.readLog(partition, { afterIndex: events.at(-1)?.index ?? 0, limit })
    if (more.length === 0) return events
    const before = events.at(-1)?.index ?? 0
    events.push(...plainRows(more))
    if ((events.at(-1)?.index ?? 0) > before) continue
    throw new BrokenClaim({
      did: `readLog(${partition}, { afterIndex: ${before}, limit: ${limit} })`,
      expected: `events with an index above ${before}`,
      came: `one with the index ${events.at(-1)?.index}`,
      advice: 'afterIndex is exclusive, and the events are in the order of (index, offset)',
    })
  }
}

/** Appends one that must go through, and tells its index. */
export async function mustAppend(store: SharedStore, append: Append): Promise<number> {
  const [result] = await store.append([append])
  if (result?.type === 'appended') return result.index
  const { type, id } = append.aggregate
  throw new BrokenClaim({
    did: `append ${append.events.length} events to ${type}/${id}, which is at expectedSequence ${append.expectedSequence}, with the new command id ${append.commandId}`,
    expected: '{"type":"appended","index":…}',
    came: inShort(result),
    advice:
      'an append that expects the sequence its aggregate is at, with a command id that is new to it, is written',
  })
}
