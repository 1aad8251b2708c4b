// Waits for something, but not for ever.
import type { Clock } from '../core/clock.ts'

/** Resolves when `event` does, or after `waitMs`. Rejects as `event` does. */
export async function within(clock: Clock, waitMs: number, event: Promise<unknown>): Promise<void> {
  let cancel = (): void => {}
  const late = new Promise<void>(resolve => {
    cancel = clock.after(waitMs, resolve)
  })
  await Promise.race([event, late])
  cancel()
}
