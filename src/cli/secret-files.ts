// What is secret comes from files, or from the environment; never from the command line, which others can read.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { GlynError } from '../core/errors.ts'
import type { Io } from './io.ts'

/** GLYN_HTTP_TOKEN, or the first line of the file; undefined without either. */
export async function readToken(io: Io, file: string | undefined): Promise<string | undefined> {
  const fromEnv = io.env['GLYN_HTTP_TOKEN']
  if (file === undefined) return fromEnv === undefined || fromEnv === '' ? undefined : fromEnv
  const token = (await readSettingFile(io, 'http-token-file', file)).toString('utf8').trim()
  if (token !== '' && !/\s/.test(token)) return token
  throw new GlynError(
    'INVALID_CONFIGURATION',
    `http-token-file ${file} holds no token; allowed: one line without blanks`,
  )
}

export async function readSecret(io: Io, file: string | undefined): Promise<Uint8Array | undefined> {
  return file === undefined ? undefined : await readSettingFile(io, 'secret-file', file)
}

async function readSettingFile(io: Io, key: string, file: string): Promise<Buffer> {
  try {
    return await readFile(resolve(io.cwd, file))
  } catch (cause) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      `${key} ${file} cannot be read: ${(cause as Error).message}`,
      { cause },
    )
  }
}
