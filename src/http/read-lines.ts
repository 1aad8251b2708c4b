// Lines of a byte stream, one after the other, however long the stream is.
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

/** A line holds one command or one event with its names and metadata around it. */
export const lineBytesMax = limits.entryBytesMax

const newline = 0x0a

/**
 * The lines of UTF-8 text, without their ends, those that arrived together as one array. Empty lines are kept, so that
 * callers can count. Throws MESSAGE_TOO_LARGE for a line of more than `bytesMax` bytes.
 */
export async function* readLineGroups(
  source: AsyncIterable<Uint8Array | string>,
  bytesMax: number = lineBytesMax,
): AsyncGenerator<string[]> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const part of source) {
    const chunk =
      typeof part === 'string'
        ? Buffer.from(part)
        : Buffer.from(part.buffer, part.byteOffset, part.byteLength)
    const end = chunk.lastIndexOf(newline)
    if (restBytes + (end === -1 ? chunk.length : chunk.indexOf(newline)) > bytesMax) throw tooLong(bytesMax)
    if (end === -1) {
      rest.push(chunk)
      restBytes += chunk.length
      continue
    }
    const whole = Buffer.concat([...rest, chunk.subarray(0, end)]).toString('utf8')
    rest = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : []
    restBytes = chunk.length - end - 1
    yield whole.split('\n').map(withoutCarriageReturn)
  }
  if (restBytes > 0) yield [withoutCarriageReturn(Buffer.concat(rest).toString('utf8'))]
}

const withoutCarriageReturn = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line)

const tooLong = (bytesMax: number): GlynError =>
  new GlynError(
    'MESSAGE_TOO_LARGE',
    `a line is longer than ${bytesMax} bytes; allowed: one JSON object per line`,
  )
