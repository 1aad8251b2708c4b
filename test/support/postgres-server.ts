// A PostgreSQL of our own, from the binaries of the machine: a new cluster of databases in a temporary folder, on a free port of loopback and a socket.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export interface PostgresServer {
  /** Of a superuser, who needs no password here, on the database `postgres`. */
  readonly connectionString: string
  readonly port: number
  /** Its unix socket, and beneath it `data`. */
  readonly folder: string
  /** The same with another user, password or database. */
  url(parts: { readonly user?: string; readonly password?: string; readonly database?: string }): string
  /** Runs SQL with psql. Throws when it fails. */
  sql(text: string, database?: string): string
  /** SIGKILL to the server and each of its processes, as when the machine loses its power, but for the disk's cache. */
  kill(): Promise<void>
  /** SIGSTOP or SIGCONT to the server and each of its processes. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void
  /** Starts it again on the same data and port. */
  start(): Promise<void>
  /** Ends it and removes its folder. Idempotent. */
  stop(): Promise<void>
}

const startTimeoutMs = 60_000
const debianFolder = '/usr/lib/postgresql'

/** Why there is none to be had here, or null. */
export function postgresIsMissing(): string | null {
  if (findBinaries() === null) {
    return `PostgreSQL is not installed: no initdb and postgres in ${debianFolder}/*/bin nor on the PATH (Debian: apt-get install postgresql)`
  }
  if (process.getuid?.() === 0 && unprivilegedUser() === null) {
    return 'PostgreSQL does not run as root, and there is no user postgres or nobody'
  }
  return null
}

/** Durable as it comes: fsync and synchronous_commit are on. */
export async function startPostgres(
  options: {
    /** Lines of postgresql.conf. */
    readonly settings?: readonly string[]
    /** Where its folder is made. Default: that of the system for temporary files. */
    readonly under?: string
  } = {},
): Promise<PostgresServer> {
  const { settings = [], under = tmpdir() } = options
  const binaries = findBinaries()
  if (binaries === null) throw new Error(String(postgresIsMissing()))
  const isRoot = process.getuid?.() === 0
  const user = isRoot ? unprivilegedUser() : null
  if (isRoot && user === null) throw new Error(String(postgresIsMissing()))
  const folder = mkdtempSync(join(under, 'glyn-postgres-'))
  const data = join(folder, 'data')
  mkdirSync(data, { mode: 0o700 })
  if (user !== null) {
    chownSync(folder, user.uid, user.gid)
    chownSync(data, user.uid, user.gid)
  }
  const superuser = 'glyn'
  const run = (program: string, parameters: readonly string[], input?: string) =>
    spawnSync(join(binaries, program), parameters, {
      ...user,
      cwd: folder,
      encoding: 'utf8',
      input,
      env: bare,
    })
  const made = run('initdb', [
    '-D',
    data,
    '-U',
    superuser,
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
  ])
  if (made.status !== 0) {
    rmSync(folder, { recursive: true, force: true })
    throw new Error(`initdb ended with ${made.status}: ${made.stderr}${made.error ?? ''}`)
  }
  const port = await freePort()
  appendFileSync(
    join(data, 'postgresql.conf'),
    [
      `port = ${port}`,
      "listen_addresses = '127.0.0.1'",
      // The path of a socket must be short.
      `unix_socket_directories = '${under === tmpdir() ? folder : ''}'`,
      'shared_buffers = 64MB',
      'max_wal_size = 256MB',
      ...settings,
      '',
    ].join('\n'),
  )

  let server: ChildProcess | null = null
  let log = ''

  async function start(): Promise<void> {
    const deadline = performance.now() + startTimeoutMs
    for (;;) {
      const child = spawn(join(binaries ?? '', 'postgres'), ['-D', data], {
        ...user,
        cwd: folder,
        env: bare,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      server = child
      child.stderr.setEncoding('utf8').on('data', chunk => {
        log = `${log}${chunk}`.slice(-8000)
      })
      const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
      while (!hasEnded() && performance.now() < deadline) {
        if (run('pg_isready', ['-q', '-h', '127.0.0.1', '-p', `${port}`]).status === 0) return
        await new Promise(resolve => setTimeout(resolve, 30))
      }
      // Processes of one that was killed may still hold its memory for a moment.
      if (performance.now() < deadline && /is still in use|lock file/.test(log)) continue
      throw new Error(`PostgreSQL did not start: ${log}`)
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const child = server
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    const children = signal === 'SIGKILL' ? childrenOf(child) : []
    child.kill(signal)
    for (const pid of children) killOne(pid, signal)
    await ended
  }

  const removeAtExit = (): void => {
    server?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', removeAtExit)

  const url: PostgresServer['url'] = ({ user: name = superuser, password, database = 'postgres' }) =>
    `postgres://${encodeURIComponent(name)}${password === undefined ? '' : `:${encodeURIComponent(password)}`}@127.0.0.1:${port}/${database}`

  await start()
  return {
    connectionString: url({}),
    port,
    folder,
    url,
    sql(text, database = 'postgres') {
      const { status, stdout, stderr } = run(
        'psql',
        [
          '-X',
          '-A',
          '-t',
          '-q',
          '-v',
          'ON_ERROR_STOP=1',
          '-h',
          folder,
          '-p',
          `${port}`,
          '-U',
          superuser,
          database,
        ],
        text,
      )
      if (status !== 0) throw new Error(`psql ended with ${status}: ${stderr}`)
      return stdout.trim()
    },
    kill: () => end('SIGKILL'),
    signal(signal) {
      if (server === null) return
      for (const pid of childrenOf(server)) killOne(pid, signal)
      server.kill(signal)
    },
    start,
    async stop() {
      // Fast shutdown: open transactions are rolled back.
      await end('SIGINT')
      process.off('exit', removeAtExit)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Nothing of ours: PGHOST and the like would lead it elsewhere. */
const bare = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' }

function findBinaries(): string | null {
  const debian = existsSync(debianFolder)
    ? readdirSync(debianFolder)
        .sort((a, b) => Number(b) - Number(a))
        .map(version => join(debianFolder, version, 'bin'))
    : []
  const places = [...debian, ...(process.env['PATH'] ?? '').split(delimiter)]
  return (
    places.find(place => existsSync(join(place, 'initdb')) && existsSync(join(place, 'postgres'))) ?? null
  )
}

/** For root: the user `postgres`, else `nobody`. */
function unprivilegedUser(): { readonly uid: number; readonly gid: number } | null {
  for (const name of ['postgres', 'nobody']) {
    const id = (flag: string): number =>
      Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout.trim() || 'x')
    const [uid, gid] = [id('-u'), id('-g')]
    if (uid > 0 && gid > 0) return { uid, gid }
  }
  return null
}

function childrenOf({ pid }: ChildProcess): number[] {
  const file = `/proc/${pid}/task/${pid}/children`
  return existsSync(file) ? readFileSync(file, 'utf8').split(' ').filter(Boolean).map(Number) : []
}

function killOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // It ended by itself meanwhile.
    if ((error as { code?: unknown }).code !== 'ESRCH') throw error
  }
}

/** Below those that the system gives to whoever wants any: nobody else has it while the server is not up. */
async function freePort(): Promise<number> {
  for (let attempt = 1; attempt <= 100; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    if (await isFree(port)) return port
  }
  throw new Error('a hundred ports from 20000 to 29999 are taken')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
