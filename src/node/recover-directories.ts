// Opens the data directories of stopped nodes, plans a recovery, and carries it out when it is confirmed.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { type DataDirectory, openDataDirectory } from './data-directory.ts'
import { recover } from './recover.ts'
import { planRecovery, type RecoveryPlan, type Survivor } from './recovery-plan.ts'

/**
 * `confirm` is shown the plan before anything is written; false leaves everything as it is. Throws what `planRecovery`
 * throws, ALREADY_RUNNING for the directory of a node that runs, and ENTITY_NOT_FOUND for one without a database.
 */
export async function recoverDirectories(
  paths: readonly string[],
  options: {
    readonly log: Log
    readonly confirm: (plan: RecoveryPlan) => Promise<boolean>
    readonly timeMs: () => number
  },
): Promise<{ readonly plan: RecoveryPlan; readonly isDone: boolean }> {
  for (const path of paths) {
    if (existsSync(join(path, 'glyn.db')) && existsSync(join(path, 'identity.key'))) continue
    throw new GlynError(
      'ENTITY_NOT_FOUND',
      `${path} is no data directory of a node: it has no glyn.db and identity.key`,
    )
  }
  const opened: DataDirectory[] = []
  try {
    const survivors: Survivor[] = []
    for (const path of paths) {
      const directory = await openDataDirectory(path, options.log)
      opened.push(directory)
      survivors.push({ path, peerId: directory.identity.peerId, store: directory.store })
    }
    const plan = planRecovery(survivors)
    const isNeeded = plan.groups.some(({ action }) => action !== 'keep')
    if (!isNeeded || !(await options.confirm(plan))) return { plan, isDone: false }
    await recover(plan, survivors, { timeMs: options.timeMs() })
    return { plan, isDone: true }
  } finally {
    await Promise.all(opened.map(directory => directory.close()))
  }
}
