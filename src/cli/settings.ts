// Settings: flags, then GLYN_* in the environment, then glyn.yaml, then defaults. One name everywhere.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { findNearest } from './suggest.ts'

const require = createRequire(import.meta.url)

interface Setting {
  readonly schema: z.ZodType
  /** For people, after "allowed: ". */
  readonly allowed: string
  readonly isList?: boolean
  /** It may hold a password: complaints show it without. */
  readonly hasSecret?: boolean
}

const wholeNumber = (min: number, max: number) => z.coerce.number().int().min(min).max(max)
const address = (isFine: (names: readonly string[]) => boolean) =>
  z.string().refine(text => {
    try {
      return isFine(
        multiaddr(text)
          .getComponents()
          .map(({ name }) => name),
      )
    } catch {
      // Not a multiaddr at all: the complaint says what is allowed.
      return false
    }
  })
const transport = address(names => names.includes('tcp'))
const boolean = z.preprocess(
  value => (value === 'true' || value === '1' ? true : value === 'false' || value === '0' ? false : value),
  z.boolean(),
)
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/)
const text = z.string().min(1)
const hostAndPort = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:/[\]]+):\d{1,5}$/)
  .refine(value => Number(value.slice(value.lastIndexOf(':') + 1)) <= 65_535)
const nameForm = 'letters, digits, _ . -, at most 128'

const settings = {
  topic: { schema: name, allowed: nameForm },
  scope: { schema: name.default('default'), allowed: nameForm },
  'data-dir': { schema: text.default('./data'), allowed: 'a folder' },
  store: {
    schema: z
      .string()
      .regex(/^(sqlite|memory|postgres(ql)?:\/\/.+)$/)
      .default('sqlite'),
    allowed: 'sqlite, memory, postgres://user:password@host:5432/database',
    hasSecret: true,
  },
  listen: {
    schema: z.array(transport).min(1).default(['/ip4/127.0.0.1/tcp/0']),
    allowed: 'multiaddrs with /tcp/, such as /ip4/127.0.0.1/tcp/4001',
    isList: true,
  },
  announce: {
    schema: z.array(transport).default([]),
    allowed: 'multiaddrs with /tcp/, such as /dns4/node-1.example.org/tcp/4001',
    isList: true,
  },
  bootstrap: {
    schema: z.array(address(names => names.includes('tcp') && names.includes('p2p'))).default([]),
    allowed: 'multiaddrs with /p2p/, as `glyn-node start` prints them: /ip4/10.0.0.1/tcp/4001/p2p/12D3Koo…',
    isList: true,
  },
  partitions: {
    schema: wholeNumber(1, limits.partitionsMax).default(32),
    allowed: `a whole number from 1 to ${limits.partitionsMax}`,
  },
  replicas: {
    schema: wholeNumber(1, limits.replicasMax)
      .refine(count => count % 2 === 1)
      .default(3),
    allowed: `an odd number from 1 to ${limits.replicasMax}`,
  },
  role: { schema: z.enum(['full', 'query']).default('full'), allowed: 'full, query' },
  http: { schema: hostAndPort.optional(), allowed: 'host:port, such as 127.0.0.1:8080' },
  'http-token-file': { schema: text.optional(), allowed: 'a file' },
  'secret-file': { schema: text.optional(), allowed: 'a file made by `glyn-node keygen`' },
  mdns: { schema: boolean.default(false), allowed: 'true, false' },
  name: { schema: name.optional(), allowed: nameForm },
  'log-level': {
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
    allowed: 'debug, info, warn, error, silent',
  },
  url: { schema: z.url({ protocol: /^https?$/ }).optional(), allowed: 'http://host:port' },
  peer: {
    schema: address(names => names.includes('tcp') && names.includes('p2p')).optional(),
    allowed: 'a multiaddr with /p2p/, as `glyn-node start` prints it',
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof settings
export type Settings<Name extends SettingName = SettingName> = {
  readonly [Key in Name]: z.output<(typeof settings)[Key]['schema']>
}

/** In glyn.yaml: `dataDir` for `--data-dir`. */
const toFileKey = (key: string): string => key.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** What a glyn.yaml may hold: the settings of a node. */
const fileSettings = Object.keys(settings)
  .filter(key => key !== 'url' && key !== 'peer')
  .map(toFileKey)

export interface Sources {
  /** Values by long flag name, undefined when not given. A list is an array. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

interface Complaint {
  readonly key: string
  readonly source: string
  readonly value: unknown
  readonly allowed: string
}

export interface LoadedSettings<Name extends SettingName> {
  readonly settings: Settings<Name>
  /** The folder with glyn.yaml, aggregates/, queries/, handlers/ and processes/; null when there is none and none was named. */
  readonly configDirectory: string | null
}

/**
 * The settings named by `keys`, from all sources. Throws INVALID_CONFIGURATION with every complaint at once, each naming
 * the key, where the value comes from, the value and what is allowed (`details.complaints`).
 */
export function loadSettings<const Name extends SettingName>(
  keys: readonly Name[],
  sources: Sources,
): LoadedSettings<Name> {
  const complaints: Complaint[] = []
  const configDirectory = findConfigDirectory(sources, complaints)
  const file = readFileSettings(configDirectory, complaints)
  const values: Record<string, unknown> = {}
  for (const key of keys) {
    const setting: Setting = settings[key]
    const { value, source } = findValue(key, setting, { ...sources, file })
    const result = setting.schema.safeParse(value)
    if (result.success) values[key] = result.data
    else {
      const shown = setting.hasSecret === true ? withoutSecret(value) : value
      complaints.push({ key, source, value: shown, allowed: setting.allowed })
    }
  }
  if (complaints.length > 0) throw toError(complaints)
  return { settings: values as Settings<Name>, configDirectory }
}

/** What stands between `//` and the last `@`, or in its place, may be a password. */
const withoutSecret = (value: unknown): unknown =>
  typeof value === 'string' ? value.replace(/(:\/*).*@/, '$1…@').replace(/(password=)[^&]*/gi, '$1…') : value

function findValue(
  key: string,
  setting: Setting,
  sources: Sources & { readonly file: Record<string, unknown> },
): { value: unknown; source: string } {
  const toList = (value: unknown): unknown =>
    setting.isList === true && typeof value === 'string'
      ? value
          .split(',')
          .map(part => part.trim())
          .filter(part => part !== '')
      : value
  const flag = sources.flags[key]
  if (flag !== undefined) return { value: toList(flag), source: `--${key}` }
  const variable = `GLYN_${key.toUpperCase().replaceAll('-', '_')}`
  const fromEnv = sources.env[variable]
  if (fromEnv !== undefined && fromEnv !== '') return { value: toList(fromEnv), source: variable }
  const fromFile = sources.file[toFileKey(key)]
  if (fromFile !== undefined && fromFile !== null) return { value: toList(fromFile), source: 'glyn.yaml' }
  return { value: undefined, source: `--${key}, ${variable} or glyn.yaml` }
}

function findConfigDirectory(sources: Sources, complaints: Complaint[]): string | null {
  const flag = sources.flags['config']
  const named = typeof flag === 'string' ? flag : sources.env['GLYN_CONFIG']
  const directory = resolve(sources.cwd, named || './config')
  if (existsSync(directory)) return directory
  if (named) {
    complaints.push({
      key: 'config',
      source: typeof flag === 'string' ? '--config' : 'GLYN_CONFIG',
      value: named,
      allowed: 'a folder that exists (`glyn-node init` makes one)',
    })
  }
  return null
}

function readFileSettings(directory: string | null, complaints: Complaint[]): Record<string, unknown> {
  const path = directory === null ? null : join(directory, 'glyn.yaml')
  if (path === null || !existsSync(path)) return {}
  const complain = (key: string, value: unknown, allowed: string): void => {
    complaints.push({ key, source: path, value, allowed })
  }
  let content: unknown
  try {
    // Loaded where there is such a file: most commands have none, and are over soon.
    const { parse } = require('yaml') as typeof import('yaml')
    content = parse(readFileSync(path, 'utf8')) ?? {}
  } catch (cause) {
    complain('glyn.yaml', (cause as Error).message, 'a YAML file with one setting per line')
    return {}
  }
  if (typeof content !== 'object' || Array.isArray(content)) {
    complain('glyn.yaml', content, 'a YAML file with one setting per line')
    return {}
  }
  for (const [key, value] of Object.entries(content as object)) {
    if (fileSettings.includes(key)) continue
    const nearest = findNearest(key, fileSettings)
    complain(key, value, nearest === null ? fileSettings.join(', ') : `${nearest} (did you mean that?)`)
  }
  return content as Record<string, unknown>
}

function toError(complaints: readonly Complaint[]): GlynError {
  const lines = complaints.map(({ key, source, value, allowed }) =>
    value === undefined
      ? `${key} is missing: give it by ${source}; allowed: ${allowed}`
      : `${key} is ${JSON.stringify(value)} (from ${source}); allowed: ${allowed}`,
  )
  const message =
    lines.length === 1 ? lines.join() : `${lines.length} settings are wrong:\n  - ${lines.join('\n  - ')}`
  return new GlynError('INVALID_CONFIGURATION', message, { details: { complaints } })
}
