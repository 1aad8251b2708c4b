// The queries of a config directory, as files. Only listed here: each is imported by the thread that runs it.
import type { FailedFile, IgnoredFile } from '../plugin/plugin-files.ts'
import { listPluginFiles, stemOf } from '../plugin/plugin-files.ts'
import type { QueryPlugin } from './query-plugin.ts'

export interface QueryFolder {
  readonly queries: readonly QueryPlugin[]
  readonly failed: readonly FailedFile[]
  readonly ignored: readonly IgnoredFile[]
}

/** Lists `<config>/queries`. What is wrong inside a file shows in its {@link QueryStatus}. */
export async function loadQueries(directory: string): Promise<QueryFolder> {
  const { files, failed, ignored } = await listPluginFiles(directory)
  return { queries: files.map(file => ({ ...file, name: stemOf(file.file) })), failed, ignored }
}
