// The wire form of consensus: all messages of one turn for one peer, of all partitions, in one frame (raft.proto).
import { PbfReader, PbfWriter } from 'pbf'
import type { ReplicaId } from '../core/replica-id.ts'
import type { Entry } from '../raft/entry.ts'
import type { RaftMessage } from '../raft/message.ts'
import { readEntry, writeEntry } from '../store/entry-codec.ts'

export interface PartitionMessage {
  readonly partition: number
  readonly message: RaftMessage
}

export interface RaftFrame {
  readonly clusterId: string
  /** Storage ids; the peer ids are those of the connection. */
  readonly fromStorage: string
  readonly toStorage: string
  readonly messages: readonly PartitionMessage[]
}

export function encodeRaftFrame(frame: RaftFrame): Uint8Array {
  const writer = new PbfWriter()
  writer.writeStringField(1, frame.clusterId)
  writer.writeStringField(2, frame.fromStorage)
  writer.writeStringField(3, frame.toStorage)
  for (const message of frame.messages) writer.writeMessage(4, writeMessage, message)
  return writer.finish()
}

/** Throws on bytes that are not a frame. `from` and `to` are the two ends of the connection, as replicas. */
export function decodeRaftFrame(
  bytes: Uint8Array,
  ends: { readonly fromPeer: string; readonly toPeer: string },
): RaftFrame {
  const frame = { clusterId: '', fromStorage: '', toStorage: '', raw: [] as RawMessage[] }
  new PbfReader(bytes).readFields((tag, result: typeof frame, reader) => {
    if (tag === 1) result.clusterId = reader.readString()
    else if (tag === 2) result.fromStorage = reader.readString()
    else if (tag === 3) result.toStorage = reader.readString()
    else if (tag === 4) result.raw.push(reader.readMessage(readMessage, emptyMessage()))
  }, frame)
  const from = `${ends.fromPeer}/${frame.fromStorage}`
  const to = `${ends.toPeer}/${frame.toStorage}`
  const { clusterId, fromStorage, toStorage } = frame
  const messages: PartitionMessage[] = []
  for (const raw of frame.raw) {
    const message = toMessage(raw, from, to)
    if (message !== undefined) messages.push({ partition: raw.partition, message })
  }
  return { clusterId, fromStorage, toStorage, messages }
}

/** Numbers on the wire. Never reused. */
const kinds = {
  'pre-vote': 1,
  'pre-vote-response': 2,
  vote: 3,
  'vote-response': 4,
  append: 5,
  'append-response': 6,
  heartbeat: 7,
  'heartbeat-response': 8,
  'timeout-now': 9,
} as const satisfies Record<RaftMessage['type'], number>

/** All fields of all messages; each message uses some of them. */
interface RawMessage {
  partition: number
  kind: number
  term: number
  index: number
  logTerm: number
  commit: number
  round: number
  flag: boolean
  hint: number
  hintTerm: number
  entries: Entry[]
}

const emptyMessage = (): RawMessage => ({
  partition: 0,
  kind: 0,
  term: 0,
  index: 0,
  logTerm: 0,
  commit: 0,
  round: 0,
  flag: false,
  hint: 0,
  hintTerm: 0,
  entries: [],
})

function writeMessage({ partition, message }: PartitionMessage, writer: PbfWriter): void {
  const number = (tag: number, value: number): void => {
    if (value !== 0) writer.writeVarintField(tag, value)
  }
  number(1, partition)
  number(2, kinds[message.type])
  number(3, message.term)
  switch (message.type) {
    case 'pre-vote':
      number(4, message.lastIndex)
      number(5, message.lastTerm)
      return
    case 'vote':
      number(4, message.lastIndex)
      number(5, message.lastTerm)
      if (message.transfer) writer.writeBooleanField(8, true)
      return
    case 'pre-vote-response':
    case 'vote-response':
      if (message.granted) writer.writeBooleanField(8, true)
      return
    case 'append':
      number(4, message.previousIndex)
      number(5, message.previousTerm)
      number(6, message.commit)
      for (const entry of message.entries) writer.writeMessage(11, writeEntry, entry)
      return
    case 'append-response':
      number(4, message.index)
      if (message.accepted) writer.writeBooleanField(8, true)
      number(9, message.hintIndex)
      number(10, message.hintTerm)
      return
    case 'heartbeat':
      number(6, message.commit)
      number(7, message.readRound)
      return
    case 'heartbeat-response':
      number(7, message.readRound)
      return
    case 'timeout-now':
      return
  }
}

function readMessage(tag: number, raw: RawMessage, reader: PbfReader): void {
  if (tag === 1) raw.partition = reader.readVarint()
  else if (tag === 2) raw.kind = reader.readVarint()
  else if (tag === 3) raw.term = reader.readVarint()
  else if (tag === 4) raw.index = reader.readVarint()
  else if (tag === 5) raw.logTerm = reader.readVarint()
  else if (tag === 6) raw.commit = reader.readVarint()
  else if (tag === 7) raw.round = reader.readVarint()
  else if (tag === 8) raw.flag = reader.readBoolean()
  else if (tag === 9) raw.hint = reader.readVarint()
  else if (tag === 10) raw.hintTerm = reader.readVarint()
  else if (tag === 11) raw.entries.push(readEntry(reader))
}

/** Undefined for a kind that this version does not know: a newer node may say more. */
function toMessage(raw: RawMessage, from: ReplicaId, to: ReplicaId): RaftMessage | undefined {
  const { term, index, logTerm, commit, round, flag, hint, hintTerm, entries } = raw
  switch (raw.kind) {
    case kinds['pre-vote']:
      return { type: 'pre-vote', from, to, term, lastIndex: index, lastTerm: logTerm }
    case kinds['pre-vote-response']:
      return { type: 'pre-vote-response', from, to, term, granted: flag }
    case kinds.vote:
      return { type: 'vote', from, to, term, lastIndex: index, lastTerm: logTerm, transfer: flag }
    case kinds['vote-response']:
      return { type: 'vote-response', from, to, term, granted: flag }
    case kinds.append:
      return { type: 'append', from, to, term, previousIndex: index, previousTerm: logTerm, commit, entries }
    case kinds['append-response']:
      return { type: 'append-response', from, to, term, accepted: flag, index, hintIndex: hint, hintTerm }
    case kinds.heartbeat:
      return { type: 'heartbeat', from, to, term, commit, readRound: round }
    case kinds['heartbeat-response']:
      return { type: 'heartbeat-response', from, to, term, readRound: round }
    case kinds['timeout-now']:
      return { type: 'timeout-now', from, to, term }
    default:
      return undefined
  }
}
