// Three nodes on one machine, every command durable on two of them. The commands enter at the node in this process;
// two thirds of them are led by the other two, which are processes of their own.
import { ledAsWanted, measureDeposits, settled, startChildNode, startLibraryNode } from './nodes.ts'
import { runPart } from './settings.ts'

await runPart(async (settings, cleanUp) => {
  const node = await startLibraryNode(settings.folder, cleanUp)
  for (const name of ['b', 'c']) {
    await startChildNode(settings.folder, name, cleanUp, node.addresses())
  }
  await settled(node, 3)
  await ledAsWanted(node)
  return measureDeposits(node, settings)
})
