// A PostgreSQL of our own for a peer: made in the bench's folder, durable as it comes (fsync and synchronous_commit on).
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import type { CleanUp } from './settings.ts'

const startTimeoutMs = 30_000
const debianFolder = '/usr/lib/postgresql'

/** Resolves with a connection string. Throws when PostgreSQL is not installed. It ends with the part. */
export async function startPostgres(folder: string, cleanUp: CleanUp): Promise<string> {
  const binaries = findBinaries()
  const user = unprivilegedUser()
  const data = join(folder, 'postgres')
  mkdirSync(data, { mode: 0o700 })
  if (user !== null) {
    // PostgreSQL refuses to run as root; its user must be able to reach its folder.
    chmodSync(folder, 0o711)
    chmodSync(dirname(folder), 0o711)
    chownSync(data, user.uid, user.gid)
  }
  const identity = user ?? {}
  const made = spawnSync(
    join(binaries, 'initdb'),
    ['-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--locale=C'],
    {
      ...identity,
      cwd: data,
      encoding: 'utf8',
    },
  )
  if (made.status !== 0)
    throw new Error(`initdb ended with ${made.status}: ${made.stderr}${made.error ?? ''}`)
  const port = await freePort()
  const server = spawn(
    join(binaries, 'postgres'),
    ['-D', data, '-p', `${port}`, '-k', data, '-h', '127.0.0.1'],
    {
      ...identity,
      cwd: data,
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let log = ''
  server.stderr.setEncoding('utf8').on('data', chunk => (log = `${log}${chunk}`.slice(-4000)))
  const ended = new Promise<void>(resolve => server.once('exit', () => resolve()))
  cleanUp(() => {
    // Fast shutdown: open transactions are rolled back.
    server.kill('SIGINT')
    return ended
  })
  const deadline = performance.now() + startTimeoutMs
  const isReady = (): boolean =>
    spawnSync(join(binaries, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', `${port}`]).status === 0
  while (!isReady()) {
    if (server.exitCode !== null || performance.now() > deadline) {
      throw new Error(`PostgreSQL did not start in ${startTimeoutMs} ms: ${log}`)
    }
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  return `postgresql://bench@127.0.0.1:${port}/postgres`
}

function findBinaries(): string {
  const debian = existsSync(debianFolder)
    ? readdirSync(debianFolder)
        .sort((a, b) => Number(b) - Number(a))
        .map(version => join(debianFolder, version, 'bin'))
    : []
  const places = [...debian, ...(process.env['PATH'] ?? '').split(':')]
  const found = places.find(place => existsSync(join(place, 'initdb')) && existsSync(join(place, 'postgres')))
  if (found === undefined) {
    throw new Error(
      `PostgreSQL is not installed: no initdb and postgres in ${debianFolder}/*/bin nor on the PATH`,
    )
  }
  return found
}

/** For root: the user `postgres`, else `nobody`. Null when we are nobody special ourselves. */
function unprivilegedUser(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null
  for (const name of ['postgres', 'nobody']) {
    const id = (flag: string): number =>
      Number(spawnSync('id', [flag, name], { encoding: 'utf8' }).stdout.trim() || 'x')
    const [uid, gid] = [id('-u'), id('-g')]
    if (uid > 0 && gid > 0) return { uid, gid }
  }
  throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody')
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}
