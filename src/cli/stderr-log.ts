// The log of a process: pino to stderr, lines of JSON for programs, pretty on a terminal.
import { createRequire } from 'node:module'
import { type Logger, pino } from 'pino'
import type { Io } from './io.ts'

const require = createRequire(import.meta.url)

export function createStderrLog(io: Io, options: { readonly level: string }): Logger {
  const isPretty = io.stderr.isTTY === true
  const colorize = isPretty && (io.env['NO_COLOR'] ?? '') === ''
  // Synchronous, so that the last words before an exit are not lost.
  return pino({ level: options.level, base: null }, isPretty ? prettyOn(io.stderr, colorize) : io.stderr)
}

/** Loaded where there is a terminal, and for nobody else. */
function prettyOn(stderr: Io['stderr'], colorize: boolean): NodeJS.WritableStream {
  const pretty = require('pino-pretty') as typeof import('pino-pretty')
  return pretty({
    destination: stderr,
    sync: true,
    colorize,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
  })
}
