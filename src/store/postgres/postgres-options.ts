// What a user says about the database, checked, and the name under which it appears in logs and errors.
import { GlynError } from '../../core/errors.ts'

export interface PostgresOptions {
  /**
   * `postgres://user:password@host:5432/database?sslmode=verify-full`; what is left out comes from the environment
   * (PGHOST, PGUSER, PGPASSWORD …, and ~/.pgpass). `?host=/var/run/postgresql` is a unix socket.
   */
  readonly connectionString: string
  /** The schema of the tables; one for each scope. It is made if it is missing. Default: `glyn`. */
  readonly schema?: string
  /** Connections at most, of each node. Default: 10. */
  readonly poolSize?: number
  /** How long a call waits for a connection before it fails with UNAVAILABLE. Default: 5,000. */
  readonly connectTimeoutMs?: number
  /** How long one statement may take, on the server and here. Default: 30,000. */
  readonly statementTimeoutMs?: number
}

/** The options with their defaults, and what follows from them. */
export interface PostgresSettings {
  readonly connectionString: string
  readonly location: string
  readonly schema: string
  readonly poolSize: number
  readonly connectTimeoutMs: number
  readonly statementTimeoutMs: number
}

const defaultSchema = 'glyn'

/** Names that need no quotes, so that people can write `select * from glyn.events` in psql. */
const schemaName = /^[a-z_][a-z0-9_]{0,62}$/

/** Throws INVALID_CONFIGURATION; never with the password in it. */
export function checkPostgresOptions(options: PostgresOptions): PostgresSettings {
  const {
    schema = defaultSchema,
    poolSize = 10,
    connectTimeoutMs = 5000,
    statementTimeoutMs = 30_000,
  } = options
  if (typeof schema !== 'string' || !schemaName.test(schema) || schema.startsWith('pg_')) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      `postgres store: schema is ${JSON.stringify(schema)}; allowed: 1 to 63 lower-case letters, digits and _, not a digit first, not pg_ first`,
    )
  }
  checkNumber('poolSize', poolSize, 500)
  checkNumber('connectTimeoutMs', connectTimeoutMs, 600_000)
  checkNumber('statementTimeoutMs', statementTimeoutMs, 3_600_000)
  const { connectionString } = options
  const location = locationOf(connectionString, schema)
  return { connectionString, location, schema, poolSize, connectTimeoutMs, statementTimeoutMs }
}

function checkNumber(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return
  throw new GlynError(
    'INVALID_CONFIGURATION',
    `postgres store: ${name} is ${String(value)}; allowed: a whole number from 1 to ${max}`,
  )
}

/** As the driver reads the text, without what is secret. */
function locationOf(connectionString: string, schema: string): string {
  if (typeof connectionString !== 'string' || !/^postgres(ql)?:\/\//.test(connectionString)) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      'postgres store: connectionString is not one; allowed: postgres://user:password@host:5432/database',
    )
  }
  const authority = connectionString.replace(/^postgres(ql)?:\/\//, '').split(/[/?#]/)[0] ?? ''
  if (authority.slice(authority.lastIndexOf('@') + 1).includes(',')) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      'postgres store: connectionString names several hosts; allowed: one (a name or address that follows the primary)',
    )
  }
  const url = URL.parse(connectionString) ?? URL.parse(connectionString.replace('@/', '@socket/'))
  // A password with a bare / ? or # would make its beginning a port, which would be shown.
  if (url === null || (!authority.includes('@') && connectionString.includes('@'))) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      'postgres store: connectionString cannot be read; allowed: postgres://user:password@host:5432/database, with special characters of user and password as %XX (/ is %2F, # is %23, ? is %3F, @ is %40)',
    )
  }
  const { env } = process
  const given = connectionString.includes('@/') ? '' : decoded(url.hostname)
  const host = url.searchParams.get('host') || given || env['PGHOST'] || 'localhost'
  const port = url.searchParams.get('port') || url.port || env['PGPORT'] || '5432'
  const user = decoded(url.username) || env['PGUSER'] || env['USER'] || ''
  const database = decoded(url.pathname.slice(1)) || env['PGDATABASE'] || user
  const shown = schema === defaultSchema ? [] : [`schema=${schema}`]
  if (host.startsWith('/')) {
    return `postgres:///${database}?${[`host=${host}`, `port=${port}`, ...shown].join('&')}`
  }
  return `postgres://${host}:${port}/${database}${shown.length === 0 ? '' : `?${shown[0]}`}`
}

/** A text with a % that stands for nothing is left as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return text
    throw error
  }
}
