// The frames of the `rpc` channel, in protobuf. Unknown fields are skipped, so that versions can mix.
//
//   message Frame {
//     uint64 id = 1;
//     string method = 2;         // requests only
//     uint64 timeout_ms = 3;     // requests only: what is left of the deadline
//     bytes body = 4;            // requests, and answers that succeeded
//     string error = 5;          // answers that failed: the JSON of an ErrorBody
//   }
import { PbfReader, PbfWriter } from 'pbf'

export interface RpcFrame {
  id: number
  method: string | undefined
  timeoutMs: number
  body: Uint8Array
  error: string | undefined
}

const empty = new Uint8Array(0)
/** Bytes of the tags, the numbers and the length prefixes, at most. */
const overheadBytes = 48

export function encodeRequest(request: {
  readonly id: number
  readonly method: string
  readonly timeoutMs: number
  readonly body: Uint8Array
}): Uint8Array {
  const { id, method, timeoutMs, body } = request
  const writer = new PbfWriter(Buffer.allocUnsafe(body.length + method.length * 3 + overheadBytes))
  writer.writeVarintField(1, id)
  writer.writeStringField(2, method)
  writer.writeVarintField(3, timeoutMs)
  writer.writeBytesField(4, body)
  return writer.finish()
}

export function encodeAnswer(id: number, body: Uint8Array): Uint8Array {
  const writer = new PbfWriter(Buffer.allocUnsafe(body.length + overheadBytes))
  writer.writeVarintField(1, id)
  writer.writeBytesField(4, body)
  return writer.finish()
}

export function encodeFailure(id: number, error: string): Uint8Array {
  const writer = new PbfWriter(Buffer.allocUnsafe(error.length * 3 + overheadBytes))
  writer.writeVarintField(1, id)
  writer.writeStringField(5, error)
  return writer.finish()
}

/** Throws when the bytes are not such a frame. The body is a view into `bytes`. */
export function decodeRpcFrame(bytes: Uint8Array): RpcFrame {
  const frame: RpcFrame = { id: 0, method: undefined, timeoutMs: 0, body: empty, error: undefined }
  const reader = new PbfReader(bytes)
  reader.readFields(readField, frame)
  if (reader.pos !== reader.length) throw new RangeError('an rpc frame ends within a field')
  return frame
}

function readField(tag: number, frame: RpcFrame, reader: PbfReader): void {
  if (tag === 1) frame.id = reader.readVarint()
  else if (tag === 2) frame.method = reader.readString()
  else if (tag === 3) frame.timeoutMs = reader.readVarint()
  else if (tag === 4) frame.body = reader.readBytes()
  else if (tag === 5) frame.error = reader.readString()
}
