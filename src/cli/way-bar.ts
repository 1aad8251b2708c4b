// The progress of long work whose length is known: a bar on a terminal, nothing elsewhere.
import { SingleBar } from 'cli-progress'
import type { Io } from './io.ts'

export interface WayBar {
  update(done: number, total: number, note: string): void
  stop(): void
}

/** On stderr. */
export function createWayBar(io: Io, what: string): WayBar {
  if (io.stderr.isTTY !== true) return { update() {}, stop() {} }
  const bar = new SingleBar({
    format: `${what} {bar} {percentage} % | {note} | {duration_formatted}`,
    stream: io.stderr,
    hideCursor: true,
    clearOnComplete: true,
  })
  let isStarted = false
  return {
    update(done, total, note) {
      if (isStarted) bar.setTotal(Math.max(1, total))
      else bar.start(Math.max(1, total), 0, { note })
      isStarted = true
      bar.update(Math.min(done, total), { note })
    },
    stop: () => bar.stop(),
  }
}
