// One node, in the process that sends the commands, through the library: as Emmett is measured too.
import { measureDeposits, startLibraryNode } from './nodes.ts'
import { runPart } from './settings.ts'

await runPart(async (settings, cleanUp) =>
  measureDeposits(await startLibraryNode(settings.folder, cleanUp), settings),
)
