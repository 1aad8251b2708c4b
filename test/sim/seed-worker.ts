// Runs the seeds it is told, one after the other.
import { parentPort } from 'node:worker_threads'
import { simulate } from '../../src/testing/simulate.ts'

export interface SeedDone {
  readonly seed: number
  readonly ok: boolean
  readonly violation: string | null
  readonly story: readonly string[]
  readonly accepted: number
}

// Errors that are part of the play are made by the hundred, and nobody reads their stacks.
Error.stackTraceLimit = 1

parentPort?.on('message', (seed: number) => {
  simulate({ seed }).then(
    ({ ok, violation, story, accepted }) => parentPort?.postMessage({ seed, ok, violation, story, accepted }),
    (error: unknown) => {
      const violation = `the simulator itself failed: ${error instanceof Error ? error.stack : String(error)}`
      parentPort?.postMessage({ seed, ok: false, violation, story: [], accepted: 0 })
    },
  )
})
