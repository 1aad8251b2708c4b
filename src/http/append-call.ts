// The caller's end of POST /v1/append: the appends of one call, and their results in order.
import { type ErrorBody, fromErrorBody, GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { StoredEvent } from '../core/record.ts'
import type { GivenAppend, GivenAppendResult } from '../node/node-api.ts'
import type { HttpCalls } from './http-calls.ts'
import { ndjson } from './media-types.ts'
import { readLineGroups } from './read-lines.ts'

/** A node answers within the deadline of an append; a little more for the way. */
const graceMs = 1000
/** The events of a duplicate, as envelopes: each of them has the metadata. */
const answerBytesMax = 64 * 1024 * 1024

type Answer = { readonly key: number | null } & (
  | { readonly result: ResultBody }
  | { readonly error: ErrorBody }
)
type ResultBody =
  | { readonly type: 'appended'; readonly position: { readonly partition: number; readonly index: number } }
  | { readonly type: 'conflict'; readonly sequence: number }
  | { readonly type: 'duplicate'; readonly events: readonly EventEnvelope[] }

/** As `NodeApi.append`. Also throws NODE_NOT_RUNNING, UNAUTHORIZED, and UNAVAILABLE for a lost connection. */
export async function sendAppends(
  calls: HttpCalls,
  appends: readonly GivenAppend[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<readonly GivenAppendResult[]> {
  if (appends.length === 0) return []
  const results: (GivenAppendResult | undefined)[] = appends.map(() => undefined)
  const errors: GlynError[] = []
  try {
    const answers = await calls.stream({
      method: 'POST',
      path: '/v1/append',
      headers: { 'content-type': ndjson },
      body: appends
        .map((append, key) => `${JSON.stringify({ key, ...toLine(append), timeoutMs })}\n`)
        .join(''),
      silenceMsMax: timeoutMs + graceMs,
      signal: signal ?? new AbortController().signal,
    })
    for await (const group of readLineGroups(answers, answerBytesMax)) {
      for (const line of group) {
        if (line === '') continue
        const answer = JSON.parse(line) as Answer
        if ('error' in answer) errors.push(fromErrorBody(answer.error))
        else if (answer.key !== null) results[answer.key] = toResult(answer.result)
      }
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw calls.explain(error)
  }
  // One that cannot be cured says more than those that wait for a cure.
  const error = errors.find(({ retryable }) => !retryable) ?? errors[0]
  if (error !== undefined) throw error
  return results.map(result => {
    if (result !== undefined) return result
    throw new GlynError('UNAVAILABLE', `${calls.name} ended before every append had its answer`)
  })
}

function toLine({ aggregate, expectedSequence, commandId, timeMs, metadata, events }: GivenAppend): object {
  return {
    type: aggregate.type,
    id: aggregate.id,
    expectedSequence,
    commandId,
    time: new Date(timeMs).toISOString(),
    metadata: JSON.parse(metadata) as unknown,
    events: events.map(({ type, version, data }) => ({ type, version, dataText: data })),
  }
}

function toResult(body: ResultBody): GivenAppendResult {
  switch (body.type) {
    case 'appended':
      return { type: 'appended', ...body.position }
    case 'conflict':
      return body
    case 'duplicate':
      return { type: 'duplicate', events: body.events.map(toRow) }
  }
}

const toRow = (event: EventEnvelope, offset: number): StoredEvent => ({
  ...event.position,
  offset,
  aggregateType: event.aggregate.type,
  aggregateId: event.aggregate.id,
  sequence: event.sequence,
  type: event.type,
  version: event.version,
  data: JSON.stringify(event.data),
  metadata: JSON.stringify(event.metadata),
  commandId: event.commandId,
  timeMs: Date.parse(event.time),
})
