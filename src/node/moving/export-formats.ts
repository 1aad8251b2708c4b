// The formats of exports by name, and by the first line of a file.
import { cloudEventsLines } from './cloud-events.ts'
import { type ExportFormat, type ExportFormatName, envelopeLines } from './export-format.ts'

/** `scope` names the source of CloudEvents. */
export const createExportFormat = (name: ExportFormatName, scope: string): ExportFormat =>
  name === 'ndjson' ? envelopeLines : cloudEventsLines(scope)

/** Null for a line that begins no export. */
export const formatOfFirstLine = (line: string): ExportFormat | null =>
  [envelopeLines, cloudEventsLines('')].find(format => format.controlOf(line) === 'export') ?? null
