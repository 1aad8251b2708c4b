// The unix socket of a node: where it lies, how a path of any length is reached, and how a stale one is replaced.
import { chmod, lstat, mkdtemp, rename, rm, stat, symlink, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { GlynError } from '../core/errors.ts'

export const controlSocketName = 'control.sock'

/** `sun_path` holds 108 bytes on Linux and 104 on macOS and the BSDs, the final zero included. */
export const socketPathBytesMax = 103
const probeMsMax = 1000

export interface ReachableSocket {
  /** Another name of the same socket, short enough for the operating system. */
  readonly path: string
  /** Removes the other name. */
  release(): Promise<void>
}

/**
 * A name of at most {@link socketPathBytesMax} bytes for the socket. Where its own is longer, a symbolic link in the
 * temporary folder stands for the socket's folder; the socket itself stays where it belongs.
 */
export async function reachSocket(socketPath: string): Promise<ReachableSocket> {
  const path = resolve(socketPath)
  if (Buffer.byteLength(path) <= socketPathBytesMax) return { path, release: async () => {} }
  const temporary = Buffer.byteLength(tmpdir()) <= 60 ? tmpdir() : '/tmp'
  const folder = await mkdtemp(join(temporary, 'glyn-'))
  await symlink(dirname(path), join(folder, 'd'), 'dir')
  return {
    path: join(folder, 'd', basename(path)),
    release: () => rm(folder, { recursive: true, force: true }),
  }
}

/**
 * Makes `listen` bind beside the socket's place, closes the file to others (0600) and moves it there in one step, so that
 * nobody meets a half-made or foreign socket. Returns how to take it away again. Throws ALREADY_RUNNING when somebody
 * answers there, INVALID_ARGUMENT when something else than a socket lies there.
 */
export async function bindSocket(
  socketPath: string,
  listen: (path: string) => Promise<void>,
): Promise<() => Promise<void>> {
  const socket = await reachSocket(socketPath)
  try {
    await refuseIfTaken(socket.path, socketPath)
    const temporary = join(dirname(socket.path), `.${process.pid % 100_000}.sock`)
    await rm(temporary, { force: true })
    await listen(temporary)
    await chmod(temporary, 0o600)
    await rename(temporary, socket.path)
    const { ino } = await stat(socketPath)
    return async () => {
      const found = await stat(socketPath).catch(() => null)
      if (found?.ino === ino) await unlink(socketPath)
    }
  } finally {
    await socket.release()
  }
}

async function refuseIfTaken(path: string, shown: string): Promise<void> {
  const found = await lstat(path).catch(() => null)
  if (found === null) return
  if (!found.isSocket()) {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `${shown} is not a socket; move it away, the node wants its place`,
    )
  }
  if (await answers(path)) {
    throw new GlynError(
      'ALREADY_RUNNING',
      `another process answers at ${shown}; stop it or use another --data-dir`,
    )
  }
}

const answers = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path)
    const end = (isAlive: boolean): void => {
      socket.destroy()
      resolve(isAlive)
    }
    socket.setTimeout(probeMsMax, () => end(true))
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
