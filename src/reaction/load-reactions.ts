// The handlers and processes of a config directory.
import { loadPluginFolder } from '../plugin/load-folder.ts'
import { listPluginFiles } from '../plugin/plugin-files.ts'
import { type AnyProcess, checkProcess } from './define-process.ts'
import type { HostedHandler, HostedProcess } from './reactions.ts'

/**
 * Handlers are only listed here: each is imported by the thread that runs it, and what is wrong inside shows in its status.
 * Processes decide, like aggregates, and run on the main thread. `problems`: files that are not used, a line each.
 */
export async function loadReactions(folders: {
  readonly handlers: string
  readonly processes: string
}): Promise<{
  readonly handlers: readonly HostedHandler[]
  readonly processes: readonly HostedProcess[]
  readonly problems: readonly string[]
}> {
  const handlers = await listPluginFiles(folders.handlers)
  const processes = await loadPluginFolder<AnyProcess>({
    directory: folders.processes,
    kind: 'process',
    check(value) {
      checkProcess(value)
      return value
    },
    nameOf: process => process.name,
  })
  return {
    handlers: handlers.files,
    processes: processes.loaded.map(({ definition, file }) => ({ definition, file })),
    problems: [...handlers.failed, ...processes.failed].map(({ file, message }) =>
      message.includes(file) ? message : `${file}: ${message}`,
    ),
  }
}
