// One process on virtual time: it has a clock of its own, stands still while it is paused, and is over when it was killed.
import type { Cancel, Clock } from '../../core/clock.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface SimulatedProcess {
  readonly clock: Clock
  readonly state: 'running' | 'paused' | 'dead'
  /** Takes in what comes from outside: at once, when it wakes up, or never. */
  take(action: () => void): void
  /** As by SIGSTOP: what comes waits. */
  pause(): void
  resume(): void
  /** As by SIGKILL. */
  kill(): void
  onKill(listener: () => void): void
}

export interface SimulatedProcessInit {
  readonly time: VirtualTime
  /** How fast its clock runs: 1.01 gains ten milliseconds in a second. */
  readonly rate: number
  /** Its wall clock at the beginning of the simulation. */
  readonly wallTimeMs: number
  /** Something was thrown that nobody caught: a real process would end by it. */
  readonly onUncaught: (error: unknown) => void
}

export function createSimulatedProcess(init: SimulatedProcessInit): SimulatedProcess {
  const { time, rate } = init
  const bornMs = time.now()
  const held: (() => void)[] = []
  const killListeners: (() => void)[] = []
  let state: SimulatedProcess['state'] = 'running'

  const perform = (action: () => void): void => {
    try {
      action()
    } catch (error) {
      init.onUncaught(error)
    }
  }
  const take = (action: () => void): void => {
    if (state === 'running') perform(action)
    else if (state === 'paused') held.push(action)
  }
  const schedule = (delayMs: number, action: () => void): Cancel => {
    let isCancelled = false
    const run = (): void => {
      if (!isCancelled) action()
    }
    const cancel = time.after(delayMs / rate, () => take(run))
    return () => {
      isCancelled = true
      cancel()
    }
  }

  return {
    get state() {
      return state
    },
    clock: {
      now: () => (time.now() - bornMs) * rate,
      wallTime: () => Math.floor(init.wallTimeMs + time.now() * rate),
      // As the timers of Node: a millisecond at least.
      after: (delayMs, action) => schedule(Math.max(1, delayMs), action),
      soon: action => schedule(0, action),
    },
    take,
    pause() {
      if (state === 'running') state = 'paused'
    },
    resume() {
      if (state !== 'paused') return
      state = 'running'
      for (const action of held.splice(0)) time.after(0, () => take(action))
    },
    kill() {
      if (state === 'dead') return
      state = 'dead'
      held.length = 0
      for (const listener of killListeners) listener()
    },
    onKill(listener) {
      killListeners.push(listener)
    },
  }
}
