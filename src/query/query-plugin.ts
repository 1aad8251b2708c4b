// A query that came as a file: it runs in a worker thread of its own.
import type { PluginFile } from '../plugin/plugin-files.ts'

export interface QueryPlugin extends PluginFile {
  /** The file's name without its extension: for messages until the file has said its own. */
  readonly name: string
}
