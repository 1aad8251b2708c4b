// Reads what the nodes hold: over their control sockets while they live, from their disks once they have stopped.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { openSqliteLogReader } from '../../src/store/sqlite/sqlite-log-reader.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import type { ChaosNode } from './chaos-node.ts'
import type { DumpedEvent, DumpedPartition, NodeDump, SeenEvent } from './dump.ts'

const feedMsMax = 120_000
const pageEvents = 5000
const readBytesMax = 1024 * 1024

export type LiveDump = Pick<NodeDump, 'feed' | 'answers'>

/** What a running node streams from the start, and what its query answers. */
export async function collectLive(node: ChaosNode, accounts: readonly string[]): Promise<LiveDump> {
  const feed: SeenEvent[] = []
  const signal = AbortSignal.timeout(feedMsMax)
  for await (const event of node.client.subscribe({ from: 'start', until: 'now', signal })) {
    const { aggregate, sequence, position } = event
    feed.push({ ...position, aggregate: aggregate.id, sequence })
  }
  if (signal.aborted) throw new Error(`${node.name} did not stream its history in ${feedMsMax} ms`)
  const answers: Record<string, number | null> = {}
  for (const id of accounts) {
    const row = (await node.client.query('balance', 'get', { id })) as { amount: number } | null
    answers[id] = row?.amount ?? null
  }
  return { feed, answers }
}

/** What lies on the disk of a node that has stopped. */
export async function collectDisk(
  node: Pick<ChaosNode, 'name' | 'dataDirectory'>,
  status: { readonly isMember: boolean; readonly live: LiveDump | null },
): Promise<NodeDump> {
  const { dataDirectory } = node
  const path = join(dataDirectory, 'glyn.db')
  const { partitions, damage } = await readLogs(path)
  return {
    node: node.name,
    isMember: status.isMember,
    partitions,
    damage,
    events: readEvents(path, partitions),
    feed: status.live?.feed ?? null,
    answers: status.live?.answers ?? null,
    tally: readTally(join(dataDirectory, 'queries', 'tally.db')),
    balances: readBalances(join(dataDirectory, 'queries', 'balance.db')),
  }
}

async function readLogs(path: string): Promise<{ partitions: DumpedPartition[]; damage: string[] }> {
  const store = await openSqliteStore({ path })
  try {
    const partitions: DumpedPartition[] = []
    const damage: string[] = []
    for (const { partition, lastIndex, hardState } of store.recover()) {
      const log = store.log(partition)
      const walk = verifyLog(log, { throughIndex: lastIndex, hashEntry })
      let step = walk.next()
      while (step.done !== true) step = walk.next()
      if (step.value !== null)
        damage.push(`partition ${partition}, index ${step.value.index}: ${step.value.reason}`)
      const hashes: string[] = []
      while (hashes.length < lastIndex) {
        const entries = log.entries(hashes.length + 1, lastIndex, readBytesMax)
        if (entries.length === 0) break
        for (const { hash } of entries) hashes.push(Buffer.from(hash).toString('hex'))
      }
      partitions.push({ partition, commitIndex: hardState.commit, hashes })
    }
    return { partitions, damage }
  } finally {
    await store.close()
  }
}

function readEvents(path: string, partitions: readonly DumpedPartition[]): DumpedEvent[] {
  const reader = openSqliteLogReader(path)
  try {
    return partitions.flatMap(({ partition, hashes }) => {
      // The controller keeps its own affairs.
      if (partition === 0) return []
      const events: DumpedEvent[] = []
      for (;;) {
        const afterIndex = events.at(-1)?.index ?? 0
        const range = { afterIndex, throughIndex: hashes.length, limit: pageEvents }
        const page = reader.readPartition(partition, range)
        for (const { index, aggregateId, sequence, type, data, commandId } of page) {
          const { amount = 0, balance = 0 } = JSON.parse(data) as { amount?: number; balance?: number }
          events.push({
            partition,
            index,
            aggregate: aggregateId,
            sequence,
            type,
            amount,
            balance,
            commandId,
          })
        }
        if (page.length === 0) return events
      }
    })
  } finally {
    reader.close()
  }
}

function readRows<Row>(path: string, sql: string): Row[] | null {
  if (!existsSync(path)) return null
  const database = new Sqlite(path, { readonly: true })
  try {
    return database.prepare<[], Row>(sql).all()
  } finally {
    database.close()
  }
}

const readTally = (path: string): SeenEvent[] | null =>
  readRows(path, 'select partition, idx as "index", aggregate, sequence from tally order by place')

function readBalances(path: string): Record<string, number> | null {
  const rows = readRows<{ id: string; amount: number }>(path, 'select id, amount from balance')
  return rows === null ? null : Object.fromEntries(rows.map(({ id, amount }) => [id, amount]))
}
