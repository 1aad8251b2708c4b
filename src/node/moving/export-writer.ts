// Turns events into the lines of an export: blocks of events, each ended by a line that proves it and says where to go on.
import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { EventEnvelope } from '../../core/event.ts'
import type { Positions } from '../../core/position.ts'
import { formatToken } from '../../core/token.ts'
import { type ContentHash, createContentHash } from './content-hash.ts'
import type { ControlName, ExportFormat, Fields } from './export-format.ts'

/** A block ends after so many events or bytes, at the end of a command: readers hold one in memory, and no more. */
const blockEvents = 500
const blockBytes = 1024 * 1024

/** What has been written, or read and found good, so far. The owner changes it. */
export interface ExportProgress {
  /** Lines, control lines included. */
  lines: number
  bytes: number
  events: number
  commands: number
  /** Over all bytes. */
  readonly sha256: Hash
  content: ContentHash
  /** Where everything of a partition up to an index is in the file, or was before it. */
  positions: Map<number, number>
}

export interface ExportWriter {
  /** The first line. */
  begin(fields: Fields): string
  /** The lines to write next; the events of a command have to follow each other. */
  add(event: EventEnvelope): string
  /** The last line. */
  end(): string
  readonly progress: Readonly<ExportProgress>
}

export const newProgress = (from: Positions): ExportProgress => ({
  lines: 0,
  bytes: 0,
  events: 0,
  commands: 0,
  sha256: createHash('sha256'),
  content: createContentHash(),
  positions: new Map(from),
})

/** Eight hex digits. */
export const lineSum = (line: string): string => crc32(line).toString(16).padStart(8, '0')

/**
 * A control line with its `sha256`: over all bytes before it and the JSON text of its other fields. So it proves itself, too.
 */
export function sealedControl(
  format: ExportFormat,
  name: ControlName,
  { fields, before }: { readonly fields: Fields; readonly before: Hash },
): string {
  const sha256 = before.copy().update(JSON.stringify(fields)).digest('hex')
  return format.control(name, { ...fields, sha256 })
}

export function createExportWriter(format: ExportFormat, progress: ExportProgress): ExportWriter {
  let sums: string[] = []
  let bytesOfBlock = 0
  let last: EventEnvelope['position'] | undefined

  function note(line: string): string {
    const text = `${line}\n`
    const length = Buffer.byteLength(text)
    progress.sha256.update(text)
    progress.bytes += length
    progress.lines += 1
    bytesOfBlock += length
    return text
  }

  function control(name: 'checkpoint' | 'end'): string {
    const fields = {
      line: progress.lines + 1,
      events: progress.events,
      commands: progress.commands,
      token: formatToken(progress.positions),
      hash: progress.content.text(),
      block: sums.length,
      lines: sums.join(''),
    }
    const text = note(sealedControl(format, name, { fields, before: progress.sha256 }))
    sums = []
    bytesOfBlock = 0
    return text
  }

  return {
    progress,
    begin: fields =>
      note(sealedControl(format, 'export', { fields: { line: 1, ...fields }, before: progress.sha256 })),
    add(event) {
      const { position } = event
      const isNext = last?.partition !== position.partition || last.index !== position.index
      const isFull = sums.length >= blockEvents || bytesOfBlock >= blockBytes
      const before = isNext && isFull ? control('checkpoint') : ''
      if (isNext) progress.commands += 1
      last = position
      progress.events += 1
      progress.content.add(event)
      progress.positions.set(position.partition, position.index)
      const line = format.event(event)
      sums.push(lineSum(line))
      return before + note(line)
    },
    end: () => control('end'),
  }
}
