// Notices a query that stands still though there is something to see and nothing is in its way. A thread may be deaf without
// any code of the plugin that we have called: a timer of its own that loops, say.
import type { Cancel, Clock } from '../core/clock.ts'

export interface WatchdogInit {
  readonly clock: Clock
  readonly stallMsMax: number
  /** It could see events if there were any. */
  isActive(): boolean
  /** There is something to see. */
  isBehind(): boolean
  /** Something has its own deadline: a call of the handler, a retry. */
  isBusy(): boolean
  onStill(): void
}

export interface Watchdog {
  /** There may be something to see. Does nothing while it watches already. */
  watch(): void
  /** It has seen something. */
  moved(): void
  stop(): void
}

export function createWatchdog(init: WatchdogInit): Watchdog {
  let cancel: Cancel | undefined
  let hasMoved = false

  const watch = (): void => {
    if (cancel !== undefined || !init.isActive()) return
    hasMoved = false
    cancel = init.clock.after(init.stallMsMax, () => {
      cancel = undefined
      if (!init.isActive() || !init.isBehind()) return
      if (hasMoved || init.isBusy()) watch()
      else init.onStill()
    })
  }

  return {
    watch,
    moved() {
      hasMoved = true
    },
    stop() {
      cancel?.()
      cancel = undefined
    },
  }
}
