// The end of the executable: with its exit code, or killed when a thread would hold it for ever.
import type { Worker } from 'node:worker_threads'

/** A thread that runs JavaScript ends at once. */
const endMsMax = 3000

/**
 * From now on the threads of this process are known. The result ends the process. `process.exit` waits for every thread,
 * and one inside of a statement of SQLite cannot be ended: then the process is killed, which loses nothing by then.
 */
export function watchThreads(): (
  code: number,
  complain: (text: string) => Promise<unknown>,
) => Promise<never> {
  const threads = new Set<Worker>()
  process.on('worker', worker => {
    threads.add(worker)
    worker.once('exit', () => threads.delete(worker))
  })
  return async (code, complain) => {
    const ended = Promise.all([...threads].map(worker => worker.terminate()))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, endMsMax)
    })
    await Promise.race([ended, late])
    clearTimeout(timer)
    if (threads.size > 0) {
      await complain('a thread is inside of a SQL statement and does not end: the process is killed\n')
      process.kill(process.pid, 'SIGKILL')
    }
    process.exit(code)
  }
}
