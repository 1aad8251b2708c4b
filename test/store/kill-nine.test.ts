// SIGKILL at random points, many times on the same database: nothing acknowledged is lost.
import { join } from 'node:path'
import t from 'tap'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import { createRandom } from './random.ts'
import { runChild } from './run-child.ts'

const rounds = 25
const partitions = 4
const killAfterMsMax = 120
const seed = Number(process.env['GLYN_SEED'] ?? Math.floor(Math.random() * 1_000_000))

t.test(`${rounds} kills lose nothing acknowledged (GLYN_SEED=${seed})`, async t => {
  const random = createRandom(seed)
  const path = join(t.testdir(), 'glyn.db')
  /** By partition: what is known to be durable, and the lowest index that was given up on purpose since. */
  const known = new Map<number, { index: number; hash: string }>()
  let acknowledged = 0

  for (let round = 1; round <= rounds; round += 1) {
    const child = runChild('./write-until-killed.ts', {
      arguments: [path, String(seed * 1000 + round), String(partitions)],
    })
    const kill = (): void => void child.process.kill('SIGKILL')
    // Sometimes while it opens (it then prints nothing), otherwise while it writes.
    const isEarly = random() < 0.15
    if (!isEarly) await child.line('ack')
    setTimeout(kill, random() * (isEarly ? 400 : killAfterMsMax))
    const end = await child.ended
    if (end !== 'SIGKILL') throw new Error(`the child ended by itself (${end}): ${child.errors()}`)

    for (const line of child.lines) {
      const [word, number, index, hash] = line.split(' ')
      const partition = Number(number)
      if (word === 'ack') {
        known.set(partition, { index: Number(index), hash: String(hash) })
        acknowledged += 1
      }
      const before = known.get(partition)
      // From here on the entries from `index` may or may not be there, until the next acknowledgement.
      if (word === 'cut' && before !== undefined && before.index >= Number(index)) {
        known.set(partition, { index: Number(index) - 1, hash: '' })
      }
    }

    const store = await openSqliteStore({ path })
    try {
      const recovered = new Map(store.recover().map(found => [found.partition, found]))
      for (let partition = 1; partition <= partitions; partition += 1) {
        const { lastIndex = 0, hardState } = recovered.get(partition) ?? {}
        const wanted = known.get(partition) ?? { index: 0, hash: '' }
        const where = `round ${round}, partition ${partition}`
        if (lastIndex < wanted.index)
          t.fail(`${where}: ${wanted.index} was acknowledged, ${lastIndex} is there`)
        const hash = Buffer.from(store.log(partition).hash(wanted.index) ?? []).toString('hex')
        if (wanted.hash !== '' && hash !== wanted.hash) t.fail(`${where}: entry ${wanted.index} is another`)
        const fault = verifyWhole(partition, lastIndex)
        if (fault !== null) t.fail(`${where}: entry ${fault.index}: ${fault.reason}`)
        if ((hardState?.commit ?? 0) > lastIndex) t.fail(`${where}: committed beyond the log`)
        if (lastIndex > 0) t.equal(store.settings().get(`last-${partition}`), String(lastIndex), where)
        checkSequences(partition, lastIndex)
      }
    } finally {
      await store.close()
    }

    function verifyWhole(partition: number, throughIndex: number) {
      const steps = verifyLog(store.log(partition), { throughIndex, hashEntry })
      for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
    }

    function checkSequences(partition: number, throughIndex: number): void {
      const next = new Map<string, number>()
      for (const event of store.readPartition(partition, { afterIndex: 0, throughIndex, limit: 1e9 })) {
        const wanted = next.get(event.aggregateId) ?? 1
        if (event.sequence !== wanted) {
          t.fail(`partition ${partition}: ${event.aggregateId} has ${event.sequence}, not ${wanted}`)
        }
        next.set(event.aggregateId, event.sequence + 1)
      }
    }
  }
  // Each round that is not early sees one at least; a slow disk may allow no more.
  t.ok(acknowledged > rounds / 3, `${acknowledged} writes were acknowledged`)
})
