// What a command may touch of its process. Tests hand in streams of their own.
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { styleText } from 'node:util'

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Runs the listener on SIGINT and SIGTERM until the returned function is called. */
  onStopSignal(listener: (signal: NodeJS.Signals) => void): () => void
}

export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** What every command is given. */
export interface CommandContext {
  readonly io: Io
  /** The exit code of the process when the command ends without an error; 0 when never called. */
  setExitCode(code: number): void
}

export const processIo = (): Io => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  onStopSignal(listener) {
    process.on('SIGINT', listener)
    process.on('SIGTERM', listener)
    const stopWatching = watchNpx(() => listener('SIGTERM'))
    return () => {
      stopWatching()
      process.off('SIGINT', listener)
      process.off('SIGTERM', listener)
    }
  },
})

/** How often a process under npx looks whether npx is still there. */
const npxCheckMs = 500

/**
 * A signal to npx ends its shell, and does not reach us (npm passes it to the shell only). A node without its npx would
 * run on unseen and keep its data folder: it stops as if it had got the signal itself.
 */
function watchNpx(onGone: () => void): () => void {
  if (process.env['npm_command'] !== 'exec') return () => {}
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    onGone()
  }, npxCheckMs)
  timer.unref()
  return () => clearInterval(timer)
}

/** Writes, and waits while the reader is slow. */
export async function write(stream: OutputStream, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain')
}

export const writeLine = (stream: OutputStream, text: string): Promise<void> => write(stream, `${text}\n`)

export const writeJson = (stream: OutputStream, value: unknown): Promise<void> =>
  writeLine(stream, JSON.stringify(value))

type Style = Parameters<typeof styleText>[0]

/** Colours for one stream: on a terminal only, and never with NO_COLOR. */
export function createPaint(io: Io, stream: OutputStream): (style: Style, text: string) => string {
  const isColoured = stream.isTTY === true && (io.env['NO_COLOR'] ?? '') === '' && io.env['TERM'] !== 'dumb'
  return (style, text) => (isColoured ? styleText(style, text, { validateStream: false }) : text)
}
