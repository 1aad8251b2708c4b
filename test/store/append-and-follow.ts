// A process that appends to a shared store, in PostgreSQL or in a SQLite file, and follows all its partitions, beside others that do the same.
// Lines: `open`; `written` when its appends are done; then, told `end` on stdin, `saw <partition> <entries> <hash of all events>`.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { postgresStore } from '../../src/store/postgres/postgres-store.ts'
import { sharedSqliteStore } from '../../src/store/sqlite/shared/shared-sqlite-store.ts'
import { createRandom } from './random.ts'
import { binding, deposit } from './shared-appends.ts'

const [place = '', name = '', calls = '0'] = process.argv.slice(2)
const store = place.startsWith('postgres://')
  ? postgresStore({ connectionString: place, poolSize: 5 })
  : sharedSqliteStore({ path: place })
await store.open(binding)
const print = (line: string): void => void writeSync(1, `${line}\n`)
print('open')
let isOver = false

/** Fails when an entry is not the next one. Resolves with what it saw. */
async function follow(partition: number): Promise<{ readonly entries: number; readonly hash: string }> {
  const hash = createHash('sha256')
  let last = 0
  for (;;) {
    const wasOver = isOver
    const events = await store.readLog(partition, { afterIndex: last, limit: 20 })
    for (const event of events) {
      if (event.index !== (event.offset === 0 ? last + 1 : last)) {
        throw new Error(`partition ${partition}: index ${event.index}.${event.offset} after ${last}`)
      }
      last = event.index
      hash.update(JSON.stringify(event))
    }
    if (events.length > 0) continue
    if (wasOver) return { entries: last, hash: hash.digest('hex') }
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** Accounts of its own and some that all share, where most appends are conflicts. */
async function write(writer: number): Promise<void> {
  const random = createRandom(writer * 1000 + name.length + name.charCodeAt(0))
  const own = new Map<string, number>()
  let shared = 0
  for (let call = 0; call < Number(calls); call += 1) {
    const ids = Array.from(
      { length: 1 + Math.floor(random() * 4) },
      () => `${name}-${writer}-${Math.floor(random() * 5)}`,
    )
    const appends = [...new Set(ids)].map(id =>
      deposit(id, own.get(id) ?? 0, `${call}`, { events: 1 + Math.floor(random() * 3) }),
    )
    const results = await store.append(appends, { isAtomic: random() < 0.3 })
    for (const [number, result] of results.entries()) {
      const append = appends[number]
      if (append === undefined || result.type !== 'appended') throw new Error(JSON.stringify(result))
      own.set(append.aggregate.id, append.expectedSequence + append.events.length)
    }
    const [contested] = await store.append([deposit('shared', shared, `${name}-${writer}-${call}`)])
    shared = contested?.type === 'conflict' ? contested.sequence : shared + 1
  }
}

const following = Promise.all(Array.from({ length: binding.partitions }, (_, number) => follow(number + 1)))
await Promise.all([0, 1, 2].map(write))
print('written')
await once(process.stdin, 'data')
isOver = true
for (const [number, { entries, hash }] of (await following).entries())
  print(`saw ${number + 1} ${entries} ${hash}`)
await store.close()
process.stdin.destroy()
