// How events look in the lines of an export: envelopes as the HTTP API has them, or CloudEvents 1.0 in their JSON format.
// Between them stand control lines, which prove that the file is whole.
import type { EventEnvelope } from '../../core/event.ts'

export const exportFormats = ['ndjson', 'cloudevents'] as const
export type ExportFormatName = (typeof exportFormats)[number]

/** `export` is the first line, `checkpoint` ends a block of events, `end` is the last line. */
export const controlNames = ['export', 'checkpoint', 'end'] as const
export type ControlName = (typeof controlNames)[number]

export type Fields = Readonly<Record<string, unknown>>

export interface ExportFormat {
  readonly name: ExportFormatName
  /** Without the end of line. */
  event(event: EventEnvelope): string
  control(name: ControlName, fields: Fields): string
  /** Which control line this is, told by its beginning; null for every other line. */
  controlOf(line: string): ControlName | null
  /** Throws SyntaxError, or an Error that says what is wrong. */
  parseControl(line: string): Fields
  parseEvent(line: string): EventEnvelope
}

export const envelopeLines: ExportFormat = {
  name: 'ndjson',
  event: event => JSON.stringify(event),
  control: (name, fields) => JSON.stringify({ [name]: fields }),
  controlOf: line => controlNames.find(name => line.startsWith(`{"${name}":`)) ?? null,
  parseControl: line => Object.values(JSON.parse(line) as Record<string, Fields>)[0] ?? {},
  parseEvent: line => JSON.parse(line) as EventEnvelope,
}
