// The settings as `start` would take them, for a command that reports what is wrong with them and goes on.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type GlynError, hasCode } from '../core/errors.ts'
import { type DoctorCheck, notOk, ok } from '../node/doctor-check.ts'
import type { Io } from './io.ts'
import { nodeSettingNames } from './node-setting-names.ts'
import { loadSettings } from './settings.ts'
import { sourcesOf } from './sources-of.ts'

interface Complaint {
  readonly key: string
  readonly source: string
  readonly value: unknown
  readonly allowed: string
}

/** What is missing is no mistake here: it may be given on the command line of `start`. */
export function checkSettings(
  io: Io,
  flags: { readonly dataDir?: string; readonly config?: string },
): {
  readonly check: DoctorCheck
  readonly dataDirectory: string
  readonly configDirectory: string | null
} {
  const complaints: Complaint[] = []
  try {
    loadSettings(nodeSettingNames, sourcesOf(io, flags))
  } catch (error) {
    if (!hasCode(error, 'INVALID_CONFIGURATION')) throw error
    complaints.push(...complaintsOf(error).filter(({ value }) => value !== undefined))
  }
  const text = complaints.map(
    ({ key, source, value, allowed }) =>
      `${key} is ${JSON.stringify(value)} (from ${source}); allowed: ${allowed}`,
  )
  const check =
    text.length === 0
      ? ok('settings', 'flags, environment and glyn.yaml hold nothing that is not allowed')
      : notOk('settings', text.join('; '), { remedy: 'correct them; the node does not start like this' })
  // Found also where something else is wrong: the rest is looked at all the same.
  const config = resolve(io.cwd, flags.config ?? (io.env['GLYN_CONFIG'] || './config'))
  return {
    check,
    dataDirectory: resolve(io.cwd, dataDirectoryOf(io, flags)),
    configDirectory: existsSync(config) ? config : null,
  }
}

const complaintsOf = (error: GlynError): readonly Complaint[] =>
  (error.details as { readonly complaints?: readonly Complaint[] } | undefined)?.complaints ?? []

function dataDirectoryOf(io: Io, flags: { readonly dataDir?: string }): string {
  try {
    return loadSettings(['data-dir'], sourcesOf(io, flags)).settings['data-dir']
  } catch (error) {
    if (hasCode(error, 'INVALID_CONFIGURATION')) return flags.dataDir ?? (io.env['GLYN_DATA_DIR'] || './data')
    throw error
  }
}
