// Appends and their answers on the wire, in protobuf. Unknown fields are skipped, so that versions can mix.
//
//   message Request { uint64 partition = 1; repeated bytes records = 2; }   // proto/store/record.proto: Record
//   message Answers { repeated Answer answers = 1; }
//   message Answer {
//     uint64 kind = 1;      // 1 appended, 2 conflict, 3 duplicate, 4 failed
//     uint64 number = 2;    // the index; of a conflict: the sequence
//     bytes record = 3;     // of a duplicate
//     string error = 4;     // of a failure: the JSON of an ErrorBody
//   }
import { PbfReader, PbfWriter } from 'pbf'
import { invariant } from '../core/assert.ts'
import { type ErrorBody, fromErrorBody, GlynError, toErrorBody } from '../core/errors.ts'
import { type StoredEvent, toStoredEvents } from '../core/record.ts'
import type { AppendAnswer } from '../partition/given-appends.ts'
import { decodeRecord, encodeRecord } from '../store/record-codec.ts'
import type { GivenAppend } from './node-api.ts'

export interface AppendRequest {
  readonly partition: number
  readonly appends: readonly GivenAppend[]
}

/** The same bytes as in the log. */
export const encodeAppend = ({ expectedSequence, ...rest }: GivenAppend): Uint8Array =>
  encodeRecord({ ...rest, firstSequence: expectedSequence + 1 })

export function encodeAppendRequest(partition: number, records: readonly Uint8Array[]): Uint8Array {
  const bytes = records.reduce((sum, record) => sum + record.length + 10, 20)
  const pbf = new PbfWriter(Buffer.allocUnsafe(bytes))
  pbf.writeVarintField(1, partition)
  for (const record of records) pbf.writeBytesField(2, record)
  return pbf.finish()
}

/** Throws INVALID_ARGUMENT for bytes that are no such request. */
export function decodeAppendRequest(bytes: Uint8Array): AppendRequest {
  const draft = { partition: 0, appends: [] as GivenAppend[] }
  return new PbfReader(bytes).readFields((tag, result: typeof draft, pbf) => {
    if (tag === 1) result.partition = pbf.readVarint()
    if (tag !== 2) return
    const { firstSequence, ...rest } = decodeRecord(pbf.readBytes())
    result.appends.push({ ...rest, expectedSequence: firstSequence - 1 })
  }, draft)
}

const kinds = ['appended', 'conflict', 'duplicate', 'failed'] as const

export function encodeAppendAnswers(answers: readonly AppendAnswer[]): Uint8Array {
  const pbf = new PbfWriter()
  for (const answer of cut(answers)) pbf.writeMessage(1, writeAnswer, answer)
  return pbf.finish()
}

/** Throws INVALID_ARGUMENT for bytes that are no such answers. */
export const decodeAppendAnswers = (bytes: Uint8Array, partition: number): readonly AppendAnswer[] =>
  new PbfReader(bytes).readFields((tag, result: AppendAnswer[], pbf) => {
    if (tag === 1) result.push(readAnswer(pbf, partition))
  }, [])

interface WireAnswer {
  readonly kind: number
  readonly number: number
  readonly record: Uint8Array | undefined
  readonly error: string | undefined
}

function toWire(answer: AppendAnswer): WireAnswer {
  const kind = kinds.indexOf(answer.type) + 1
  const wire = { kind, number: 0, record: undefined, error: undefined }
  switch (answer.type) {
    case 'appended':
      return { ...wire, number: answer.index }
    case 'conflict':
      return { ...wire, number: answer.sequence }
    case 'duplicate':
      return { ...wire, number: answer.events[0]?.index ?? 0, record: encodeEvents(answer.events) }
    case 'failed':
      return { ...wire, error: JSON.stringify(toErrorBody(answer.error)) }
  }
}

function encodeEvents(events: readonly StoredEvent[]): Uint8Array {
  const [first] = events
  invariant(first !== undefined, 'a command that is known led to events')
  return encodeRecord({
    aggregate: { type: first.aggregateType, id: first.aggregateId },
    commandId: first.commandId,
    firstSequence: first.sequence,
    timeMs: first.timeMs,
    metadata: first.metadata,
    events,
  })
}

/** Bytes of records that one frame of answers carries, but for one that is larger by itself. */
const recordBytesMax = 2 * 1024 * 1024

/** Duplicates carry what is there. What does not fit the frame is asked again, and then has less beside it. */
function cut(answers: readonly AppendAnswer[]): readonly WireAnswer[] {
  let bytes = 0
  return answers.map(answer => {
    const wire = toWire(answer)
    const size = wire.record?.length ?? 0
    if (size > 0 && bytes > 0 && bytes + size > recordBytesMax) return notNow
    bytes += size
    return wire
  })
}

const notNow: WireAnswer = toWire({
  type: 'failed',
  error: new GlynError('OVERLOADED', 'the answers fit no frame together'),
})

function writeAnswer({ kind, number, record, error }: WireAnswer, pbf: PbfWriter): void {
  pbf.writeVarintField(1, kind)
  pbf.writeVarintField(2, number)
  if (record !== undefined) pbf.writeBytesField(3, record)
  if (error !== undefined) pbf.writeStringField(4, error)
}

function readAnswer(pbf: PbfReader, partition: number): AppendAnswer {
  const end = pbf.readVarint() + pbf.pos
  const draft = { kind: 0, number: 0, record: undefined as Uint8Array | undefined, error: '' }
  pbf.readFields(readAnswerField, draft, end)
  const { number, record, error } = draft
  switch (kinds[draft.kind - 1]) {
    case 'appended':
      return { type: 'appended', index: number }
    case 'conflict':
      return { type: 'conflict', sequence: number }
    case 'duplicate': {
      const events =
        record === undefined ? [] : toStoredEvents(decodeRecord(record), { partition, index: number })
      return { type: 'duplicate', events }
    }
    case 'failed':
      return { type: 'failed', error: fromErrorBody(JSON.parse(error) as ErrorBody) }
    default:
      throw new GlynError(
        'INVALID_ARGUMENT',
        `the answer to an append is of kind ${draft.kind}; allowed: 1 to 4`,
      )
  }
}

interface AnswerDraft {
  kind: number
  number: number
  record: Uint8Array | undefined
  error: string
}

function readAnswerField(tag: number, draft: AnswerDraft, pbf: PbfReader): void {
  if (tag === 1) draft.kind = pbf.readVarint()
  else if (tag === 2) draft.number = pbf.readVarint()
  else if (tag === 3) draft.record = pbf.readBytes()
  else if (tag === 4) draft.error = pbf.readString()
}
