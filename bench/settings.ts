// What every part of the bench is told: how long, how many, where. Given as JSON in the first argument of its process.
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

export interface BenchSettings {
  /** Measurements are made on the disk of this folder. */
  readonly folder: string
  readonly warmUpMs: number
  readonly durationMs: number
  readonly inFlight: readonly number[]
  readonly accounts: number
  /** How often the failover part makes a leader go, for each way to go. */
  readonly kills: number
  /** In the history that read models are built from. */
  readonly rebuildEvents: number
}

export const accountId = (number: number): string => `acc-${number}`

/**
 * The frame of a part: reads the settings, gives it a folder of its own, prints its result as one line of JSON, and
 * cleans up, also when it is told to stop.
 */
export async function runPart<Result>(
  work: (settings: BenchSettings, cleanUp: CleanUp) => Promise<Result>,
): Promise<void> {
  const given = JSON.parse(process.argv[2] ?? 'null') as BenchSettings | null
  if (given === null)
    throw new Error('a part of the bench is started by bench/run.ts, with its settings as JSON')
  const folder = mkdtempSync(join(given.folder, 'part-'))
  const actions: (() => Promise<void> | void)[] = [() => rmSync(folder, { recursive: true, force: true })]
  let cleaning: Promise<void> | undefined
  const cleanUp = async (): Promise<void> => {
    for (const action of actions.reverse()) await action()
  }
  const clean = (): Promise<void> => (cleaning ??= cleanUp())
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void clean().finally(() => process.exit(1)))
  }
  try {
    const result = await work({ ...given, folder }, action => void actions.push(action))
    process.stdout.write(`${JSON.stringify(result)}\n`)
  } finally {
    await clean()
  }
}

/** Actions run in the reverse order of their registration. */
export type CleanUp = (action: () => Promise<void> | void) => void
