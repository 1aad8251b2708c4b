// A PostgreSQL of our own for a part of the bench: on the disk that is measured, durable as it comes.
import { chmodSync } from 'node:fs'
import { dirname } from 'node:path'
import { startPostgres as startServer } from '../test/support/postgres-server.ts'
import type { CleanUp } from './settings.ts'

/** Resolves with a connection string. Throws when PostgreSQL is not installed. It ends with the part. */
export async function startPostgres(folder: string, cleanUp: CleanUp): Promise<string> {
  if (process.getuid?.() === 0) {
    // PostgreSQL refuses to run as root; its user must be able to reach its folder.
    chmodSync(folder, 0o711)
    chmodSync(dirname(folder), 0o711)
  }
  const server = await startServer({ under: folder })
  cleanUp(() => server.stop())
  return server.connectionString
}
