// Many tasks at once, but those of one key one after the other, in the order they were given.

export interface KeyedScheduler {
  /**
   * Waits for room among the tasks held, then queues the task. `run` settles its own errors: a task that rejects makes
   * `idle` and later calls reject with the same reason.
   */
  add(key: string, run: () => Promise<void>): Promise<void>
  /** Resolves when no task is held. */
  idle(): Promise<void>
}

interface Line {
  readonly waiting: (() => Promise<void>)[]
}

/** `runningMax` tasks run at once; `heldMax` bounds those running and waiting together, hence the memory. */
export function createKeyedScheduler(bounds: {
  readonly runningMax: number
  readonly heldMax: number
}): KeyedScheduler {
  const lines = new Map<string, Line>()
  /** Keys that have a task waiting and none running, in order of arrival. */
  const ready = new Map<string, Line>()
  let held = 0
  let running = 0
  let failure: { readonly reason: unknown } | null = null
  let watchers: { readonly isDue: () => boolean; readonly wake: () => void }[] = []

  const notify = (): void => {
    const due = watchers.filter(watcher => failure !== null || watcher.isDue())
    if (due.length === 0) return
    watchers = watchers.filter(watcher => !due.includes(watcher))
    for (const watcher of due) watcher.wake()
  }

  const until = async (isDue: () => boolean): Promise<void> => {
    while (failure === null && !isDue()) {
      await new Promise<void>(wake => watchers.push({ isDue, wake }))
    }
    if (failure !== null) throw failure.reason
  }

  const start = (): void => {
    for (const [key, line] of ready) {
      if (running >= bounds.runningMax) return
      ready.delete(key)
      const run = line.waiting.shift()
      if (run === undefined) continue
      running += 1
      run()
        .catch((reason: unknown) => {
          failure ??= { reason }
        })
        .finally(() => {
          running -= 1
          held -= 1
          if (line.waiting.length > 0) ready.set(key, line)
          else lines.delete(key)
          start()
          notify()
        })
    }
  }

  return {
    async add(key, run) {
      await until(() => held < bounds.heldMax)
      held += 1
      const line = lines.get(key)
      if (line === undefined) {
        const created: Line = { waiting: [run] }
        lines.set(key, created)
        ready.set(key, created)
      } else {
        line.waiting.push(run)
      }
      start()
    },
    idle: () => until(() => held === 0),
  }
}
