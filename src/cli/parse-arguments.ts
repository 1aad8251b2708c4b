// Arguments of commands: key=value pairs, JSON from three places, durations.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import type { Metadata } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { Io } from './io.ts'

/** `key=text` and `key:=json`, HTTPie's convention. Throws INVALID_ARGUMENT that names the pair. */
export function parsePairs(pairs: readonly string[]): Record<string, unknown> {
  const entries = pairs.map((pair): [string, unknown] => {
    const match = /^([^=]+?)(:?=)(.*)$/s.exec(pair)
    if (match === null) {
      throw new GlynError(
        'INVALID_ARGUMENT',
        `${JSON.stringify(pair)} is not a pair; allowed: key=text, key:=json (amount:=100, active:=true)`,
      )
    }
    const [, key = '', sign, value = ''] = match
    return [key, sign === '=' ? value : parseJsonArgument(value, `the value of ${key}:=`)]
  })
  return Object.fromEntries(entries)
}

/** The data of a command: `--data` (JSON, `@file` or `-` for stdin), with the pairs on top. `{}` without any. */
export async function readData(
  io: Io,
  given: { readonly data: string | undefined; readonly pairs: readonly string[] },
): Promise<unknown> {
  const pairs = parsePairs(given.pairs)
  if (given.data === undefined) return pairs
  const data = parseJsonArgument(await readDataText(io, given.data), `--data ${given.data}`)
  if (given.pairs.length === 0) return data
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) return { ...data, ...pairs }
  throw new GlynError(
    'INVALID_ARGUMENT',
    `--data ${given.data} is not an object, so ${given.pairs.join(' ')} cannot be added to it`,
  )
}

/** `key=text` only. Throws INVALID_ARGUMENT that names the pair. */
export function parseMetadata(pairs: readonly string[]): Metadata {
  return Object.fromEntries(
    pairs.map((pair): [string, string] => {
      const place = pair.indexOf('=')
      if (place > 0) return [pair.slice(0, place), pair.slice(place + 1)]
      throw new GlynError('INVALID_ARGUMENT', `--metadata is ${JSON.stringify(pair)}; allowed: key=text`)
    }),
  )
}

const unitMs = { ms: 1, s: 1000, m: 60_000 } as const
const durationMsMax = 600_000

/** `10`, `10s`, `500ms`, `2m`: milliseconds. Throws INVALID_ARGUMENT that names the option. */
export function parseDuration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text)
  const ms =
    match === null ? 0 : Math.round(Number(match[1]) * unitMs[(match[2] ?? 's') as keyof typeof unitMs])
  if (ms >= 1 && ms <= durationMsMax) return ms
  throw new GlynError(
    'INVALID_ARGUMENT',
    `${option} is ${JSON.stringify(text)}; allowed: seconds, or with a unit: 500ms, 10s, 2m; at most 10m`,
  )
}

/** A whole number of 1 or more, up to `max`. Throws INVALID_ARGUMENT that names the option. */
export function parseCount(option: string, text: string, max: number): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= max) return count
  throw new GlynError(
    'INVALID_ARGUMENT',
    `${option} is ${JSON.stringify(text)}; allowed: a whole number from 1 to ${max}`,
  )
}

async function readDataText(io: Io, source: string): Promise<string> {
  if (source === '-') return await readAll(io.stdin)
  if (!source.startsWith('@')) return source
  const path = resolve(io.cwd, source.slice(1))
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new GlynError('INVALID_ARGUMENT', `--data ${source} cannot be read: ${(cause as Error).message}`, {
      cause,
    })
  }
}

function parseJsonArgument(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `${where} is ${JSON.stringify(text.slice(0, 120))}, which is not JSON (${(cause as Error).message}); allowed: 100, true, "text", {"a":1}`,
      { cause },
    )
  }
}
