// Isolation: commands at a node with a query that counts, and at one with a second query that loops for ever.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConfig, measureDeposits, startLibraryNode } from './nodes.ts'
import { runPart } from './settings.ts'

const counting = `
import { defineQuery } from 'glyn-node'
export default defineQuery({
  name: 'counting',
  init: db => void db.exec('create table if not exists counts (id text primary key, events integer)'),
  handle(id, events, { db }) {
    db.prepare('insert into counts values (?, ?) on conflict do update set events = events + excluded.events')
      .run(id, events.length)
  },
})
`

/** Its thread is ended after 10 s, and started again; then it loops again. */
const looping = `
import { defineQuery } from 'glyn-node'
export default defineQuery({ name: 'looping', handle() { for (;;) {} } })
`

/** The part that measures commands beside the counting query, and beside the looping one too. */
export async function measureBeside({ hasLoop }: { readonly hasLoop: boolean }): Promise<void> {
  await runPart(async (settings, cleanUp) => {
    const queries = join(createConfig(settings.folder), 'queries')
    mkdirSync(queries)
    writeFileSync(join(queries, 'counting.ts'), counting)
    if (hasLoop) writeFileSync(join(queries, 'looping.ts'), looping)
    const node = await startLibraryNode(settings.folder, cleanUp)
    const found = await measureDeposits(node, { ...settings, inFlight: [32] })
    const loop = (await node.status()).queries.find(({ name }) => name === 'looping')
    const isStuck = loop !== undefined && loop.lag > 0 && loop.ratePerSecond === 0
    if (hasLoop && !isStuck) throw new Error(`the looping query did not loop: ${JSON.stringify(loop)}`)
    return found
  })
}
