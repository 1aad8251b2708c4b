// Lines of a byte stream with their ends, one at a time: what is hashed has to be what is there, byte by byte.

export interface ByteLine {
  /** Without its end. */
  readonly text: string
  /** Of the line with its end. */
  readonly bytes: Buffer
  /** False: the stream ends within it. */
  readonly isWhole: boolean
}

/** An event of a mebibyte with its metadata twice escaped, and the lines of sums, are far below. */
export const lineBytesMax = 16 * 1024 * 1024

const newline = 0x0a

/** Ends after a line of more than {@link lineBytesMax} bytes, which is then not whole. */
export async function* readByteLines(source: AsyncIterable<Uint8Array | string>): AsyncGenerator<ByteLine[]> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const part of source) {
    const chunk =
      typeof part === 'string'
        ? Buffer.from(part)
        : Buffer.from(part.buffer, part.byteOffset, part.byteLength)
    const lines: ByteLine[] = []
    let from = 0
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      const piece = chunk.subarray(from, end + 1)
      lines.push(lineOf(rest.length === 0 ? piece : Buffer.concat([...rest, piece]), true))
      rest = []
      restBytes = 0
      from = end + 1
    }
    if (from < chunk.length) {
      rest.push(chunk.subarray(from))
      restBytes += chunk.length - from
    }
    if (lines.length > 0) yield lines
    if (restBytes > lineBytesMax) break
  }
  if (restBytes > 0) yield [lineOf(Buffer.concat(rest), false)]
}

const lineOf = (bytes: Buffer, isWhole: boolean): ByteLine => ({
  text: bytes.toString('utf8', 0, isWhole ? bytes.length - 1 : bytes.length),
  bytes,
  isWhole,
})
