// The adapters against each other: the same random batches, then every read must give the same answer.
import { join } from 'node:path'
import t from 'tap'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import type { LocalStore, PartitionWrite, Snapshot } from '../../src/store/store.ts'
import { type Chain, createChain } from './entries.ts'
import { createRandom } from './random.ts'

const seed = Number(process.env['GLYN_SEED'] ?? Math.floor(Math.random() * 1_000_000))
const partitions = [0, 1, 2, 7]
const batchesMax = 150

t.test(`random histories read the same from memory and from SQLite (GLYN_SEED=${seed})`, async t => {
  const random = createRandom(seed)
  const upTo = (limit: number): number => Math.floor(random() * limit)
  const path = join(t.testdir(), 'glyn.db')
  const memory = createMemoryStore()
  let sqlite = await openSqliteStore({ path })
  t.teardown(() => sqlite.close())
  const chains = new Map(partitions.map(partition => [partition, createChain({ partition })]))
  const commits = new Map(partitions.map(partition => [partition, 0]))

  function randomWrite(partition: number, chain: Chain): PartitionWrite {
    let commit = commits.get(partition) ?? 0
    let truncateFrom: number | null = null
    if (random() < 0.2) {
      truncateFrom = commit + 1 + upTo(chain.entries.length - commit + 2)
      if (truncateFrom <= chain.entries.length) chain.cut(truncateFrom)
      chain.term += 1
    }
    const from = chain.entries.length
    for (let count = upTo(6); count > 0; count -= 1) {
      const dice = random()
      if (dice < 0.1) chain.noop()
      else if (dice < 0.2) chain.config([`peer-${upTo(3)}/s`])
      else {
        const commandId = random() < 0.3 ? { commandId: `shared-${upTo(5)}` } : {}
        const kind = random() < 0.3 ? { type: `T${upTo(3)}`, version: 1 + upTo(3) } : {}
        chain.command(`p${partition}-${upTo(4)}`, { events: 1 + upTo(4), ...commandId, ...kind })
      }
    }
    commit += upTo(chain.entries.length - commit + 1)
    const hardState = random() < 0.5 ? { term: chain.term, vote: `v${chain.term}/s`, commit } : null
    if (hardState !== null) commits.set(partition, commit)
    return { partition, hardState, truncateFrom, entries: chain.entries.slice(from) }
  }

  function randomSnapshot(): Snapshot {
    const partition = partitions[upTo(partitions.length)] ?? 0
    const sequence = 1 + upTo(50)
    return {
      aggregate: { type: 'bank_account', id: `p${partition}-${upTo(4)}` },
      sequence,
      index: sequence,
      partition,
      state: String(random()),
      definition: `v${upTo(2)}`,
      timeMs: upTo(1e12),
    }
  }

  function readEverything(store: LocalStore, dice: () => number): unknown[] {
    const upTo = (limit: number): number => Math.floor(dice() * limit)
    const { events, entries } = store.statistics()
    const committed = new Map(partitions.map(partition => [partition, upTo(60)]))
    const commitIndexOf = (partition: number): number => committed.get(partition) ?? 0
    const answers: unknown[] = [
      { events, entries },
      store.recover(),
      store.eventKinds(),
      store.snapshots({ limit: 1 + upTo(20) }),
      store.snapshots({ type: 'bank_account', after: { type: 'bank_account', id: 'p1-2' }, limit: 3 }),
      store.snapshots({ type: 'bank', limit: 3 }),
      [...store.settings()].sort(),
      store.aggregates({ limit: 1 + upTo(30) }),
      store.aggregates({
        after: { type: 'bank_account', id: `p${upTo(8)}-${upTo(5)}` },
        limit: 1 + upTo(30),
      }),
      store.aggregates({ limit: 1 + upTo(30), commitIndexOf }),
    ]
    for (const partition of partitions) {
      const log = store.log(partition)
      const index = upTo(60)
      const throughIndex = upTo(80)
      answers.push(log.entries(1 + index, index + upTo(20), 1 + upTo(2000)), log.term(index), log.hash(index))
      answers.push(
        store.readPartition(partition, { afterIndex: upTo(40), throughIndex, limit: 1 + upTo(20) }),
      )
      for (let number = 0; number < 4; number += 1) {
        const aggregate = { type: 'bank_account', id: `p${partition}-${number}` }
        const range = { partition, fromSequence: 1 + upTo(20), throughIndex, limit: 1 + upTo(20) }
        const commandId = `shared-${upTo(5)}`
        answers.push(store.readAggregate(aggregate, range), store.latestSnapshot(aggregate))
        answers.push(store.readCommand(aggregate, { partition, commandId, throughIndex }))
      }
    }
    return answers
  }

  for (let number = 1; number <= batchesMax; number += 1) {
    const batch = {
      partitions: [...chains]
        .filter(() => random() < 0.5)
        .map(([partition, chain]) => randomWrite(partition, chain)),
      snapshots: random() < 0.3 ? [randomSnapshot(), randomSnapshot()] : [],
      settings: random() < 0.3 ? { [`s${upTo(5)}`]: random() < 0.3 ? null : String(number) } : {},
    }
    await Promise.all([memory.write(batch), sqlite.write(batch)])
    if (number % 50 === 0) {
      await sqlite.close()
      sqlite = await openSqliteStore({ path })
    }
    const read = (store: LocalStore) => readEverything(store, createRandom(seed + number))
    if (!t.strictSame(read(sqlite), read(memory), `after batch ${number}`)) return
  }
})
