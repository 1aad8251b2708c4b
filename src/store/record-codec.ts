// The bytes of a `command` entry's payload: protobuf, as described in proto/store/record.proto, the same record always the same bytes.
import { PbfReader, PbfWriter } from 'pbf'
import { GlynError } from '../core/errors.ts'
import type { CommandRecord, RecordedEvent } from '../core/record.ts'
import { pooledBytes } from './pooled-bytes.ts'

/** Canonical: fields in order, defaults left out. The caller owns the bytes. */
export function encodeRecord(record: CommandRecord): Uint8Array {
  const pbf = encodeToScratch(record)
  const bytes = pooledBytes(pbf.pos)
  bytes.set(pbf.buf.subarray(0, pbf.pos))
  shrinkScratch()
  return bytes
}

/** Whether {@link encodeRecord} gives just these bytes. */
export function isEncodingOf(record: CommandRecord, bytes: Uint8Array): boolean {
  const pbf = encodeToScratch(record)
  const isSame = pbf.pos === bytes.length && Buffer.compare(pbf.buf.subarray(0, pbf.pos), bytes) === 0
  shrinkScratch()
  return isSame
}

function encodeToScratch(record: CommandRecord): PbfWriter {
  const pbf = scratch
  pbf.pos = 0
  pbf.length = pbf.buf.length
  pbf.writeStringField(1, record.aggregate.type)
  pbf.writeStringField(2, record.aggregate.id)
  pbf.writeStringField(3, record.commandId)
  pbf.writeVarintField(4, record.firstSequence)
  pbf.writeVarintField(5, record.timeMs)
  if (record.metadata !== '{}') pbf.writeStringField(6, record.metadata)
  for (const event of record.events) pbf.writeMessage(7, writeEvent, event)
  return pbf
}

/** Unknown fields are skipped. Throws INVALID_ARGUMENT for bytes that are not a whole record. */
export function decodeRecord(bytes: Uint8Array): CommandRecord {
  const draft: RecordDraft = {
    type: '',
    id: '',
    commandId: '',
    firstSequence: 0,
    timeMs: 0,
    metadata: '{}',
    events: [],
  }
  try {
    const pbf = new PbfReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    pbf.readFields(readRecordField, draft)
    if (pbf.pos !== bytes.length) throw new Error(`it ends at byte ${bytes.length} within a field`)
    if (draft.type === '' || draft.id === '') throw new Error('it names no aggregate')
    if (draft.commandId === '') throw new Error('it has no command id')
    if (!(draft.firstSequence >= 1)) throw new Error('it has no first sequence')
    if (draft.events.length === 0) throw new Error('it has no events')
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new GlynError('INVALID_ARGUMENT', `record of ${bytes.length} bytes is not readable: ${why}`, {
      cause,
    })
  }
  const { type, id, commandId, firstSequence, timeMs, metadata, events } = draft
  return { aggregate: { type, id }, commandId, firstSequence, timeMs, metadata, events }
}

/** As pbf's readString, at half its cost: no view and no TextDecoder for each text. The reader is one of a Buffer. */
function readText(pbf: PbfReader): string {
  const end = pbf.readVarint() + pbf.pos
  const text = (pbf.buf as Buffer).toString('utf8', pbf.pos, end)
  pbf.pos = end
  return text
}

interface RecordDraft {
  type: string
  id: string
  commandId: string
  firstSequence: number
  timeMs: number
  metadata: string
  readonly events: RecordedEvent[]
}

interface EventDraft {
  type: string
  version: number
  data: string
}

function readRecordField(tag: number, draft: RecordDraft, pbf: PbfReader): void {
  switch (tag) {
    case 1:
      draft.type = readText(pbf)
      break
    case 2:
      draft.id = readText(pbf)
      break
    case 3:
      draft.commandId = readText(pbf)
      break
    case 4:
      draft.firstSequence = pbf.readVarint()
      break
    case 5:
      draft.timeMs = pbf.readVarint()
      break
    case 6:
      draft.metadata = readText(pbf)
      break
    case 7: {
      const event: EventDraft = { type: '', version: 1, data: '' }
      const end = pbf.readVarint() + pbf.pos
      if (end > pbf.length) throw new Error('an event reaches beyond its end')
      pbf.readFields(readEventField, event, end)
      if (pbf.pos !== end) throw new Error('an event ends within a field')
      if (event.type === '') throw new Error('an event has no type')
      draft.events.push(event)
    }
  }
}

function readEventField(tag: number, event: EventDraft, pbf: PbfReader): void {
  switch (tag) {
    case 1:
      event.type = readText(pbf)
      break
    case 2:
      event.version = pbf.readVarint()
      break
    case 3:
      event.data = readText(pbf)
  }
}

function writeEvent(event: RecordedEvent, pbf: PbfWriter): void {
  pbf.writeStringField(1, event.type)
  if (event.version !== 1) pbf.writeVarintField(2, event.version)
  pbf.writeStringField(3, event.data)
}

/** Grown by large records, thrown away above the bound so that one large record does not keep its memory. */
const scratchBytes = 4096
const scratchBytesMax = 1024 * 1024
let scratch = new PbfWriter(new Uint8Array(scratchBytes))

function shrinkScratch(): void {
  if (scratch.buf.length > scratchBytesMax) scratch = new PbfWriter(new Uint8Array(scratchBytes))
}
