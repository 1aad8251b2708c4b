// A data directory that a restore has begun and not finished says so in a file. It takes no node, ever: half a history would
// look like a whole one.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { GlynError } from '../core/errors.ts'

export const restoringName = 'restoring.json'

/** Throws STORE_CORRUPT for a directory with half a history. */
export function refuseHalfRestored(directory: string): void {
  if (!existsSync(join(directory, restoringName))) return
  throw new GlynError(
    'STORE_CORRUPT',
    `${directory} holds half of a backup: its restore was interrupted. Run \`glyn-node restore\` on it again, or delete the directory`,
  )
}
