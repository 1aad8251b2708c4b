// The first frame of a `raft` stream: who speaks knows this protocol, and which run of it speaks.
//
//   message Hello { uint64 version = 1; bytes session = 2; }
import { PbfReader, PbfWriter } from 'pbf'
import { FrameFormatError } from './frame-parser.ts'

export interface Hello {
  version: number
  /** New with every start, so that a peer that came back is told from one that never left. Hex. */
  session: string
}

export const helloVersion = 1

export function encodeHello(session: string): Uint8Array {
  const writer = new PbfWriter()
  writer.writeVarintField(1, helloVersion)
  writer.writeBytesField(2, Buffer.from(session, 'hex'))
  return writer.finish()
}

/** Throws FrameFormatError when it is no hello. */
export function decodeHello(bytes: Uint8Array): Hello {
  const hello: Hello = { version: 0, session: '' }
  try {
    new PbfReader(bytes).readFields((tag, result: Hello, reader) => {
      if (tag === 1) result.version = reader.readVarint()
      else if (tag === 2) result.session = Buffer.from(reader.readBytes()).toString('hex')
    }, hello)
  } catch (cause) {
    throw new FrameFormatError('the first frame is no hello', { cause })
  }
  if (hello.version < 1 || hello.session === '') throw new FrameFormatError('the first frame is no hello')
  return hello
}
