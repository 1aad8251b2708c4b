// The first line of an export: what it is of.
import { formatToken, parseToken } from '../../core/token.ts'
import type { ExportFormatName, Fields } from './export-format.ts'

export const exportVersion = 1

export interface ExportHeader {
  readonly version: number
  readonly format: ExportFormatName
  /** Names the history that the positions are of: of a cluster its id. */
  readonly history: string
  readonly scope: string
  readonly partitions: number
  /** A token: what comes after it is exported. Empty for everything. */
  readonly from: string
  /** Only aggregates of these types; null for all. */
  readonly types: readonly string[] | null
  /** ISO 8601. */
  readonly startedAt: string
}

/** Throws an Error that names the field. */
export function parseHeader(fields: Fields): ExportHeader {
  const { version, format, history, scope, partitions, from, types, startedAt } = fields
  if (version !== exportVersion)
    throw new Error(`version is ${String(version)}; this glyn-node reads ${exportVersion}`)
  const texts = { format, history, scope, from, startedAt }
  for (const [field, value] of Object.entries(texts))
    if (typeof value !== 'string') throw new Error(`${field} is ${JSON.stringify(value)}; allowed: a text`)
  if (!Number.isSafeInteger(partitions)) throw new Error(`partitions is ${JSON.stringify(partitions)}`)
  return { ...texts, version, partitions, types } as ExportHeader
}

/** Null when `found` can be gone on with in place of `wanted`; else what is different, in words. */
export function differenceOf(found: ExportHeader, wanted: ExportHeader): string | null {
  const shown = (value: unknown): string => JSON.stringify(value)
  for (const field of ['format', 'history', 'scope', 'partitions', 'types'] as const)
    if (shown(found[field]) !== shown(wanted[field]))
      return `its ${field} is ${shown(found[field])}, not ${shown(wanted[field])}`
  const isSame = formatToken(parseToken(found.from)) === formatToken(parseToken(wanted.from))
  return isSame ? null : `it begins after ${shown(found.from)}, not ${shown(wanted.from)}`
}
