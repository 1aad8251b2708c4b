// One node whose events rest in a PostgreSQL, in the process that sends the commands, as Emmett is measured too.
import { postgresStore } from '../src/store/postgres/postgres-store.ts'
import { measureDeposits, startLibraryNode } from './nodes.ts'
import { startPostgres } from './postgres.ts'
import { runPart } from './settings.ts'

await runPart(async (settings, cleanUp) => {
  const { folder } = settings
  const store = postgresStore({ connectionString: await startPostgres(folder, cleanUp) })
  return await measureDeposits(await startLibraryNode(folder, cleanUp, { store }), settings)
})
