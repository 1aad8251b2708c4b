// The handlers and processes of a node: the files of the config directory and those given in code.
import { join } from 'node:path'
import { loadReactions } from '../reaction/load-reactions.ts'
import type { HostedHandler, HostedProcess } from '../reaction/reactions.ts'
import type { CompleteNodeOptions } from './node-options.ts'

export interface GatheredReactions {
  readonly handlers: readonly HostedHandler[]
  readonly processes: readonly HostedProcess[]
  /** Files that are not used, a line each: path and cause. */
  readonly problems: readonly string[]
}

export async function gatherReactions({
  configDirectory,
  handlers = [],
  processes = [],
}: CompleteNodeOptions): Promise<GatheredReactions> {
  const inCode = processes.map(definition => ({ definition, file: null }))
  if (configDirectory === null) return { handlers, processes: inCode, problems: [] }
  const folders = {
    handlers: join(configDirectory, 'handlers'),
    processes: join(configDirectory, 'processes'),
  }
  const found = await loadReactions(folders)
  return {
    handlers: [...handlers, ...found.handlers],
    processes: [...inCode, ...found.processes],
    problems: found.problems,
  }
}
