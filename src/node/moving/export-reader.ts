// Reads an export and believes nothing: hands out a block of events when the line that proves it was found good, and says
// which line is not as it was written.
import { GlynError } from '../../core/errors.ts'
import type { EventEnvelope } from '../../core/event.ts'
import { parseToken } from '../../core/token.ts'
import { type ByteLine, readByteLines } from './byte-lines.ts'
import { createContentHash } from './content-hash.ts'
import type { ControlName, ExportFormat, Fields } from './export-format.ts'
import { createExportFormat, formatOfFirstLine } from './export-formats.ts'
import { type ExportHeader, parseHeader } from './export-header.ts'
import { type ExportProgress, lineSum, newProgress, sealedControl } from './export-writer.ts'
import { toRecordedCommands } from './recorded-commands.ts'

export type ExportPart =
  | { readonly type: 'header'; readonly header: ExportHeader; readonly format: ExportFormat }
  /** Good, and followed by more. `progress` is that after it, as its owner sees it now. */
  | {
      readonly type: 'block'
      readonly commands: readonly (readonly EventEnvelope[])[]
      readonly progress: Readonly<ExportProgress>
      /** Of the line of the first event. */
      readonly firstLine: number
      /** The end follows. */
      readonly isLast: boolean
    }
  | { readonly type: 'end'; readonly progress: Readonly<ExportProgress> }

/** Of one block; a writer ends blocks far below. */
const blockLinesMax = 4000
const blockBytesMax = 64 * 1024 * 1024

/**
 * Yields the header, the blocks, the end. Throws FILE_DAMAGED, with `{ line }` as details, for a line that is not as it was
 * written and for a file that is cut off: after the last part that is good.
 */
export async function* readExport(
  source: AsyncIterable<Uint8Array | string>,
  name: string,
): AsyncGenerator<ExportPart, void, undefined> {
  let format: ExportFormat | null = null
  let block: ByteLine[] = []
  let blockBytesRead = 0
  let isEnded = false
  let progress = newProgress(new Map())

  const damaged = (line: number, why: string, cause?: unknown): GlynError =>
    new GlynError('FILE_DAMAGED', `${name}, line ${line}: ${why}`, {
      ...(cause === undefined ? {} : { cause }),
      details: { file: name, line },
    })
  const attempt = <T>(line: number, action: () => T): T => {
    try {
      return action()
    } catch (cause) {
      throw damaged(line, cause instanceof Error ? cause.message : String(cause), cause)
    }
  }

  /** The fields of a control line that is what its writer made of the bytes before it. */
  function proven(line: ByteLine, kind: ControlName, lines: ExportFormat): Fields {
    const at = progress.lines + block.length + 1
    const { sha256, ...fields } = attempt(at, () => lines.parseControl(line.text))
    const before = progress.sha256.copy()
    for (const { bytes } of block) before.update(bytes)
    if (typeof sha256 === 'string' && line.text === sealedControl(lines, kind, { fields, before }))
      return fields
    throw damaged(...firstWrong(fields, at))
  }

  /** The control line names the sums of its block's lines: the first that has another one is the culprit. */
  function firstWrong(fields: Fields, at: number): [line: number, why: string] {
    const notAsWritten = 'it is not as it was written'
    const { lines: sums, block: count, line } = fields
    if (typeof sums !== 'string' || typeof count !== 'number' || sums.length !== count * 8)
      return [at, notAsWritten]
    // A damaged control line before looks like one of the block.
    const ahead = block.length - count
    if (ahead > 0 && block.slice(ahead).every(({ text }, place) => sums.startsWith(lineSum(text), place * 8)))
      return line === at ? [at - count - 1, notAsWritten] : [at - count, 'a line before it is missing']
    for (const [place, { text }] of block.entries())
      if (!sums.startsWith(lineSum(text), place * 8) || place >= count)
        return [progress.lines + place + 1, notAsWritten]
    if (count > block.length) return [at, `${count - block.length} lines before it are missing`]
    if (line !== at) return [at, `it was line ${String(line)}: lines before it are missing or too many`]
    return [at, notAsWritten]
  }

  function note({ bytes }: ByteLine): void {
    progress.sha256.update(bytes)
    progress.bytes += bytes.length
    progress.lines += 1
  }

  function takeBlock(line: ByteLine, kind: ControlName, lines: ExportFormat): ExportPart[] {
    const at = progress.lines + block.length + 1
    const fields = proven(line, kind, lines)
    const first = progress.lines + 1
    const events = block.map(({ text }, place) => attempt(first + place, () => lines.parseEvent(text)))
    const commands = toRecordedCommands(events, (place, why) => damaged(first + place, why))
    for (const one of [...block, line]) note(one)
    block = []
    blockBytesRead = 0
    for (const event of events) progress.content.add(event)
    progress.events += events.length
    progress.commands += commands.length
    const isSame =
      fields['events'] === progress.events &&
      fields['commands'] === progress.commands &&
      fields['hash'] === progress.content.text()
    if (!isSame) throw damaged(at, 'its counts or its hash do not fit the events before it')
    progress.positions = attempt(at, () => new Map(parseToken(String(fields['token']))))
    isEnded = kind === 'end'
    const whole: ExportPart[] =
      commands.length === 0 ? [] : [{ type: 'block', commands, firstLine: first, progress, isLast: isEnded }]
    return whole
  }

  function takeFirst(line: ByteLine): ExportPart {
    const found = formatOfFirstLine(line.text)
    if (found === null) throw damaged(1, 'it does not begin an export of glyn-node')
    const header = attempt(1, () => parseHeader(found.parseControl(line.text)))
    format = createExportFormat(found.name, header.scope)
    proven(line, 'export', format)
    progress = { ...progress, positions: attempt(1, () => new Map(parseToken(header.from))) }
    note(line)
    return { type: 'header', header, format }
  }

  for await (const lines of readByteLines(source)) {
    for (const line of lines) {
      const at = progress.lines + block.length + 1
      if (isEnded) throw damaged(at, 'it follows the end of the export')
      if (!line.isWhole) throw damaged(at, 'the file is cut off within it')
      if (format === null) {
        yield takeFirst(line)
        continue
      }
      const kind = (format as ExportFormat).controlOf(line.text)
      if (kind !== null) {
        yield* takeBlock(line, kind, format)
        continue
      }
      block.push(line)
      blockBytesRead += line.bytes.length
      if (block.length > blockLinesMax || blockBytesRead > blockBytesMax)
        throw damaged(progress.lines + 1, 'no line follows that proves it and those after it')
    }
  }
  if (isEnded) {
    yield { type: 'end', progress }
    return
  }
  const last = progress.lines + block.length
  if (last === 0) throw damaged(1, 'the file is empty')
  throw damaged(last, 'the file is cut off after it: the line that says the end is missing')
}

/** For whoever goes on writing after what was read. */
export function toProgress(read: Readonly<ExportProgress>): ExportProgress {
  return {
    ...read,
    sha256: read.sha256.copy(),
    content: createContentHash(read.content.text()),
    positions: new Map(read.positions),
  }
}
