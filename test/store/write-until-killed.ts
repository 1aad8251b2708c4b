// A process that writes batches to a SQLite store and prints what was acknowledged, until it is killed.
// Lines: `open`; `cut <partition> <index>` before entries from that index are given up;
// `ack <partition> <index> <hash>` once everything up to that entry is durable.
import { writeSync } from 'node:fs'
import { genesisHash } from '../../src/raft/entry.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { createChain } from './entries.ts'
import { createRandom } from './random.ts'

const [path = '', seed = '0', partitions = '4', writesMax = '1000000'] = process.argv.slice(2)
const store = await openSqliteStore({ path })
const print = (line: string): void => void writeSync(1, `${line}\n`)
print('open')

async function writePartition(partition: number): Promise<void> {
  const random = createRandom(Number(seed) * 100 + partition)
  const found = store.recover().find(({ partition: number }) => number === partition)
  let { term, commit } = found?.hardState ?? { term: 0, commit: 0 }
  const log = store.log(partition)
  const chain = createChain({
    partition,
    from: log.entries(1, found?.lastIndex ?? 0, Number.MAX_SAFE_INTEGER),
  })
  for (let write = 0; write < Number(writesMax); write += 1) {
    const last = chain.entries.length
    let truncateFrom: number | null = null
    if (random() < 0.1 && commit < last) {
      truncateFrom = commit + 1 + Math.floor(random() * (last - commit))
      print(`cut ${partition} ${truncateFrom}`)
      chain.cut(truncateFrom)
      term += 1
    }
    chain.term = Math.max(1, term)
    term = chain.term
    const from = chain.entries.length
    for (let number = 1 + Math.floor(random() * 4); number > 0; number -= 1) {
      if (random() < 0.05) chain.noop()
      else chain.command(`${partition}-${Math.floor(random() * 5)}`, { events: 1 + Math.floor(random() * 3) })
    }
    commit += Math.floor(random() * (from - commit + 1))
    const entries = chain.entries.slice(from)
    const hardState = { term, vote: 'me/1', commit }
    await store.write({
      partitions: [{ partition, hardState, truncateFrom, entries }],
      snapshots: [],
      settings: { [`last-${partition}`]: String(chain.entries.length) },
    })
    const hash = Buffer.from(chain.entries.at(-1)?.hash ?? genesisHash).toString('hex')
    print(`ack ${partition} ${chain.entries.length} ${hash}`)
  }
}

await Promise.all(Array.from({ length: Number(partitions) }, (_, number) => writePartition(number + 1)))
await store.close()
print('done')
