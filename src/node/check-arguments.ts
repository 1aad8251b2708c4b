// Checks of the arguments that callers of a node pass in.
import type { Metadata } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { isSystemType, ownIdPrefix, systemPrefix } from '../core/system-types.ts'

/** Returns the number, or throws NON_POSITIVE_ARGUMENT that names it. */
export function checkPositive(field: string, value: number): number {
  if (Number.isInteger(value) && value > 0) return value
  throw new GlynError(
    'NON_POSITIVE_ARGUMENT',
    `${field} is ${String(value)}; allowed: a positive whole number`,
  )
}

/** Returns the map, or throws INVALID_ARGUMENT that names the key. */
export function checkMetadata(metadata: unknown): Metadata {
  const complain = (what: string): never => {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `metadata ${what}; allowed: up to ${limits.metadataEntriesMax} texts by name`,
    )
  }
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    return complain(`is ${JSON.stringify(metadata) ?? String(metadata)}`)
  }
  const entries = Object.entries(metadata)
  if (entries.length > limits.metadataEntriesMax) complain(`has ${entries.length} entries`)
  for (const [key, value] of entries) {
    if (typeof value !== 'string') complain(`${key} is ${JSON.stringify(value) ?? String(value)}`)
  }
  return metadata as Metadata
}

/** Throws INVALID_ARGUMENT: aggregates of glyn-node's own take commands from nobody else, and nobody else has its ids. */
export function refuseOwnNames({
  type,
  commandId,
}: {
  readonly type: string
  readonly commandId: string
}): void {
  const refuse = (field: string, value: string, prefix: string): never => {
    const text = `${field} is ${JSON.stringify(value)}; allowed: one that does not begin with ${prefix}`
    throw new GlynError('INVALID_ARGUMENT', text)
  }
  if (isSystemType(type)) refuse('aggregate type', type, systemPrefix)
  if (commandId.startsWith(ownIdPrefix)) refuse('command id', commandId, ownIdPrefix)
}
