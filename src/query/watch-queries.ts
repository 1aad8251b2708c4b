// The query folder of a running node: what lies in it is what runs.
import { basename } from 'node:path'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { type FailedFile, type IgnoredFile, stemOf } from '../plugin/plugin-files.ts'
import { type FolderWatch, watchPluginFolder } from '../plugin/watch-folder.ts'
import type { QueryFolder } from './load-queries.ts'
import type { QueryHost } from './query-host.ts'

export interface QueryWatch extends FolderWatch {
  /** What is wrong with the folder or its files, a line each. What is wrong inside a file shows in its status. */
  problems(): readonly string[]
}

export function watchQueries(init: {
  readonly directory: string
  /** As it was listed for the host's start. */
  readonly folder: QueryFolder
  readonly host: QueryHost
  readonly clock: Clock
  readonly log: Log
}): QueryWatch {
  const { host, clock, log } = init
  const ownTrouble: string[] = []
  let failed: readonly FailedFile[] = []
  let ignored: readonly IgnoredFile[] = []

  const say = (now: {
    readonly failed: readonly FailedFile[]
    readonly ignored: readonly IgnoredFile[]
  }): void => {
    for (const { file, message } of now.failed) {
      if (!failed.some(one => one.message === message)) log.warn({ file }, message)
    }
    for (const { file, why } of now.ignored) {
      // Those with . and _ and tests are so by intention.
      if (!/extension|directory$/.test(why) || ignored.some(one => one.file === file)) continue
      log.info({ file }, `${basename(file)} in the query folder is no query: ${why}`)
    }
    failed = now.failed
    ignored = now.ignored
  }
  say(init.folder)

  const watch = watchPluginFolder({
    directory: init.directory,
    clock,
    parts: host.parts,
    async onChange(view) {
      say(view)
      // What cannot be read now is not gone.
      const unreadable = new Set(view.failed.map(({ file }) => file))
      const queries = view.files.map(file => ({ ...file, name: stemOf(file.file) }))
      await host.setFiles(queries, { ...view, unreadable })
    },
    onTrouble(message) {
      ownTrouble.push(message)
      log.warn({}, message)
    },
  })
  host.onLoaded(() => watch.look())
  return { ...watch, problems: () => [...ownTrouble, ...failed.map(({ message }) => message)] }
}
