// Seeds that failed once are kept, and run for ever.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface FailedSeed {
  readonly seed: number
  /** What was wrong when it failed. */
  readonly violation: string
}

const path = fileURLToPath(new URL('./failed-seeds.json', import.meta.url))

export const readFailedSeeds = (): readonly FailedSeed[] =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as readonly FailedSeed[]) : []

export function rememberFailedSeed(failed: FailedSeed): void {
  const known = readFailedSeeds()
  if (known.some(({ seed }) => seed === failed.seed)) return
  const all = [...known, failed].sort((a, b) => a.seed - b.seed)
  writeFileSync(path, `${JSON.stringify(all, null, 2)}\n`)
}
