// What plugins print becomes log lines: stdout of the node belongs to its commands.
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'

export interface OutputLogInit {
  readonly name: string
  readonly file: string
  readonly log: Log
  readonly clock: Clock
  /** Further ones are counted, and the count is logged with the next line. */
  readonly linesPerSecondMax: number
}

export function createOutputLog(init: OutputLogInit): (line: string) => void {
  const { name, file, log, clock, linesPerSecondMax } = init
  let second = Number.NEGATIVE_INFINITY
  let lines = 0
  return line => {
    const now = Math.floor(clock.now() / 1000)
    if (now !== second) {
      const dropped = lines - linesPerSecondMax
      if (dropped > 0) {
        const text = `query ${name}: ${dropped} lines of output were dropped; allowed: ${linesPerSecondMax} per second`
        log.warn({ query: name, file, dropped }, text)
      }
      second = now
      lines = 0
    }
    lines += 1
    if (lines <= linesPerSecondMax) log.info({ query: name, file }, line)
  }
}
