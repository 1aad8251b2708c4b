// The JSON form of a command on its way in: the body of POST …/commands, and a line of a batch.
import type { Metadata } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'

export interface CommandRequest {
  /** The name of the command. */
  readonly command: string
  /** `{}` when left out. */
  readonly data: unknown
  readonly commandId?: string
  readonly metadata?: Metadata
  readonly timeoutMs?: number
}

export interface BatchRequest extends CommandRequest {
  readonly type: string
  readonly id: string
}

const commandFields = ['command', 'data', 'commandId', 'metadata', 'timeoutMs']
export const timeoutMsMax = 600_000

/** Throws INVALID_ARGUMENT that begins with `where` and names the field, its value and what is allowed. */
export function parseCommandRequest(value: unknown, where: string): CommandRequest {
  return parseFields(checkObject(value, where, commandFields), where)
}

/** As {@link parseCommandRequest}, with the aggregate's `type` and `id`. */
export function parseBatchRequest(
  value: unknown,
  where: string,
  moreFields: readonly string[] = [],
): BatchRequest {
  const fields = checkObject(value, where, ['type', 'id', ...commandFields, ...moreFields])
  const { type, id } = fields
  prefixed(where, () => {
    checkName('type', type)
    checkName('id', id)
    checkAggregateKey({ type: type as string, id: id as string })
  })
  return { type: type as string, id: id as string, ...parseFields(fields, where) }
}

/** Throws INVALID_ARGUMENT that shows the beginning of the text and where JSON ends to be JSON. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new GlynError('INVALID_ARGUMENT', `${where}: ${shown(text)} is not JSON (${reason})`, { cause })
  }
}

/** Throws INVALID_ARGUMENT unless `value` is a flat map of strings. */
export function checkMetadata(value: unknown, where: string): Metadata {
  const entries = isObject(value) ? Object.entries(value) : null
  if (entries === null || entries.some(([, text]) => typeof text !== 'string')) {
    return complain(where, 'metadata', value, 'an object whose values are texts')
  }
  if (entries.length > limits.metadataEntriesMax) {
    return complain(where, 'metadata', `${entries.length} entries`, `at most ${limits.metadataEntriesMax}`)
  }
  return value as Metadata
}

function parseFields(fields: Record<string, unknown>, where: string): CommandRequest {
  const { command, data = {}, commandId, metadata, timeoutMs } = fields
  prefixed(where, () => {
    checkName('command', command)
    if (commandId !== undefined) checkName('commandId', commandId)
  })
  if (timeoutMs !== undefined && !isTimeout(timeoutMs)) {
    complain(where, 'timeoutMs', timeoutMs, `a number of milliseconds from 1 to ${timeoutMsMax}`)
  }
  return {
    command: command as string,
    data,
    ...(commandId === undefined ? {} : { commandId: commandId as string }),
    ...(metadata === undefined ? {} : { metadata: checkMetadata(metadata, where) }),
    ...(timeoutMs === undefined ? {} : { timeoutMs: timeoutMs as number }),
  }
}

function checkObject(value: unknown, where: string, allowed: readonly string[]): Record<string, unknown> {
  if (!isObject(value)) return complain(where, 'the command', value, `an object with ${allowed.join(', ')}`)
  for (const field of Object.keys(value)) {
    if (allowed.includes(field)) continue
    throw new GlynError(
      'INVALID_ARGUMENT',
      `${where}: ${shown(field)} is not a field of a command; allowed: ${allowed.join(', ')}`,
      { details: { found: field, allowed } },
    )
  }
  return value
}

function prefixed(where: string, check: () => void): void {
  try {
    check()
  } catch (cause) {
    if (!(cause instanceof GlynError)) throw cause
    throw new GlynError(cause.code, `${where}: ${cause.message}`, { cause })
  }
}

function complain(where: string, field: string, found: unknown, allowed: string): never {
  throw new GlynError('INVALID_ARGUMENT', `${where}: ${field} is ${shown(found)}; allowed: ${allowed}`)
}

const isTimeout = (value: unknown): value is number =>
  typeof value === 'number' && value >= 1 && value <= timeoutMsMax

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 120)
