// What travels on the gossipsub topic: committed entries while the budget lasts, how far the partitions are, and messages
// to queries (proto/pubsub/topic-message.proto). Others may read it, so the form is published and only ever grows.
import { PbfReader, PbfWriter } from 'pbf'
import type { AggregateKey } from '../core/command.ts'
import type { Entry } from '../raft/entry.ts'
import { readEntry, writeEntry } from '../store/entry-codec.ts'

export interface PartitionHead {
  readonly partition: number
  readonly term: number
  /** The highest committed index. */
  readonly index: number
}

export interface PartitionEntries {
  readonly partition: number
  /** Committed, contiguous, ascending. */
  readonly entries: readonly Entry[]
}

/** A message to queries: published by a user of a node, and stored nowhere. */
export interface WireMessage {
  readonly id: string
  readonly type: string
  /** JSON text. */
  readonly data: string
  readonly aggregate: AggregateKey | null
  readonly timeMs: number
}

export interface TopicMessage {
  readonly clusterId: string
  readonly heads: readonly PartitionHead[]
  readonly groups: readonly PartitionEntries[]
  readonly messages: readonly WireMessage[]
}

export function encodeTopicMessage(message: TopicMessage): Uint8Array {
  const writer = new PbfWriter()
  writer.writeStringField(1, message.clusterId)
  for (const head of message.heads) {
    writer.writeMessage(2, writeHead, head)
  }
  for (const group of message.groups) writer.writeMessage(3, writeGroup, group)
  for (const one of message.messages) writer.writeMessage(4, writeWireMessage, one)
  return writer.finish()
}

/** Throws on bytes that are not such a message. Unknown fields are passed over. */
export function decodeTopicMessage(bytes: Uint8Array): TopicMessage {
  const message = {
    clusterId: '',
    heads: [] as PartitionHead[],
    groups: [] as PartitionEntries[],
    messages: [] as WireMessage[],
  }
  return new PbfReader(bytes).readFields((tag, result: typeof message, reader) => {
    if (tag === 1) result.clusterId = reader.readString()
    else if (tag === 2) result.heads.push(reader.readMessage(readHead, { partition: 0, term: 0, index: 0 }))
    else if (tag === 3)
      result.groups.push(reader.readMessage(readGroup, { partition: 0, entries: [] as Entry[] }))
    else if (tag === 4) result.messages.push(readWireMessage(reader))
  }, message)
}

/** Also the answer to a fetch: the entries after an index, as far as they go. */
export function encodeEntries(group: PartitionEntries): Uint8Array {
  const writer = new PbfWriter()
  writeGroup(group, writer)
  return writer.finish()
}

export function decodeEntries(bytes: Uint8Array): PartitionEntries {
  return new PbfReader(bytes).readFields(readGroup, { partition: 0, entries: [] as Entry[] })
}

function writeHead(head: PartitionHead, writer: PbfWriter): void {
  writer.writeVarintField(1, head.partition)
  writer.writeVarintField(2, head.term)
  writer.writeVarintField(3, head.index)
}

function readHead(
  tag: number,
  head: { partition: number; term: number; index: number },
  reader: PbfReader,
): void {
  if (tag === 1) head.partition = reader.readVarint()
  else if (tag === 2) head.term = reader.readVarint()
  else if (tag === 3) head.index = reader.readVarint()
}

function writeGroup(group: PartitionEntries, writer: PbfWriter): void {
  writer.writeVarintField(1, group.partition)
  for (const entry of group.entries) writer.writeMessage(2, writeEntry, entry)
}

function readGroup(tag: number, group: { partition: number; entries: Entry[] }, reader: PbfReader): void {
  if (tag === 1) group.partition = reader.readVarint()
  else if (tag === 2) group.entries.push(readEntry(reader))
}

function writeWireMessage(message: WireMessage, writer: PbfWriter): void {
  writer.writeStringField(1, message.id)
  writer.writeStringField(2, message.type)
  writer.writeStringField(3, message.data)
  if (message.aggregate !== null) {
    writer.writeStringField(4, message.aggregate.type)
    writer.writeStringField(5, message.aggregate.id)
  }
  writer.writeVarintField(6, message.timeMs)
}

function readWireMessage(reader: PbfReader): WireMessage {
  const fields = { id: '', type: '', data: '', aggregateType: '', aggregateId: '', timeMs: 0 }
  const { aggregateType, aggregateId, ...message } = reader.readMessage(
    (tag, result: typeof fields, from) => {
      if (tag === 1) result.id = from.readString()
      else if (tag === 2) result.type = from.readString()
      else if (tag === 3) result.data = from.readString()
      else if (tag === 4) result.aggregateType = from.readString()
      else if (tag === 5) result.aggregateId = from.readString()
      else if (tag === 6) result.timeMs = from.readVarint()
    },
    fields,
  )
  return { ...message, aggregate: aggregateType === '' ? null : { type: aggregateType, id: aggregateId } }
}
