// How fast a node makes a read model again from its own disk: a function that counts, and a query that writes a row for each
// event. From the call until the new read model answers, with the start of the thread and the swap.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeApi } from '../src/node/node-api.ts'
import { openSqliteStore } from '../src/store/sqlite/sqlite-store.ts'
import { fillStore } from './fill-store.ts'
import { eventually, partitions, startLibraryNode } from './nodes.ts'
import { runPart } from './settings.ts'

export interface RebuildResult {
  readonly events: number
  readonly queries: readonly {
    readonly name: keyof typeof files
    readonly perSecond: number
    readonly seconds: number
    /** What the process took more than before, at most. */
    readonly memoryBytesMore: number
  }[]
}

const files = {
  counting: `
let count = 0
export default (aggregateId, events) => {
  count += events.length
}
`,
  balances: `
export default {
  name: 'balances',
  init: db => db.exec('create table if not exists balance (id text primary key, amount integer not null)'),
  handle(id, events, { db }) {
    const deposit = db.prepare('insert into balance values (?, ?) on conflict do update set amount = amount + excluded.amount')
    for (const event of events) deposit.run(id, event.data.amount)
  },
}
`,
} as const
const names = ['counting', 'balances'] as const
const lookMs = 20

await runPart<RebuildResult>(async (settings, cleanUp) => {
  const { folder, accounts, rebuildEvents: events } = settings
  await (await startLibraryNode(folder, () => {})).close()
  const store = await openSqliteStore({ path: join(folder, 'library-node', 'glyn.db') })
  await fillStore(store, { events, accounts, partitions })
  await store.close()
  const queryFolder = join(folder, 'config', 'queries')
  mkdirSync(queryFolder, { recursive: true })
  for (const name of names) writeFileSync(join(queryFolder, `${name}.mjs`), files[name])
  const node = await startLibraryNode(folder, cleanUp)
  await eventually('queries that have caught up', async () => {
    const waiting = (await node.queries.list()).filter(({ lag, state }) => lag > 0 || state !== 'running')
    return waiting.length === 0 ? null : JSON.stringify(waiting)
  })
  const queries: RebuildResult['queries'][number][] = []
  for (const name of names) queries.push({ name, ...(await rebuild(node, name, events)) })
  return { events, queries }
})

async function rebuild(node: NodeApi, name: string, events: number) {
  const startedAt = performance.now()
  const bytesBefore = process.memoryUsage.rss()
  let bytesMax = bytesBefore
  await node.queries.rebuild(name)
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, lookMs))
    bytesMax = Math.max(bytesMax, process.memoryUsage.rss())
    const query = (await node.queries.list()).find(one => one.name === name)
    if (query?.building === null) break
    const error = query?.building.lastError ?? null
    if (error !== null) throw new Error(`${name}: ${error.message}`)
  }
  const seconds = (performance.now() - startedAt) / 1000
  return { perSecond: events / seconds, seconds, memoryBytesMore: bytesMax - bytesBefore }
}
