// The log of a process: pino to stderr, lines of JSON for programs, pretty on a terminal.
import { type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import type { Io } from './io.ts'

export function createStderrLog(io: Io, options: { readonly level: string }): Logger {
  const isPretty = io.stderr.isTTY === true
  const colorize = isPretty && (io.env['NO_COLOR'] ?? '') === ''
  // Synchronous, so that the last words before an exit are not lost.
  const destination = isPretty
    ? pretty({
        destination: io.stderr,
        sync: true,
        colorize,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss.l',
      })
    : io.stderr
  return pino({ level: options.level, base: null }, destination)
}
