// A process that writes two partitions, folds so many steps of the tail into the log, and kills itself.
import { writeSync } from 'node:fs'
import { openSqliteWriter } from '../../src/store/sqlite/sqlite-writer.ts'
import { createChain } from './entries.ts'

const [path = '', steps = '0'] = process.argv.slice(2)
const writer = openSqliteWriter(path)
const writes = [1, 2].map(partition => {
  const chain = createChain({ partition })
  for (let number = 0; number < 300; number += 1)
    chain.command(`p${partition}-${number % 3}`, { events: 1 + (number % 3) })
  return { partition, hardState: null, truncateFrom: null, entries: chain.entries }
})
writer.commit({ writes, snapshots: [], settings: [] })
for (let step = 0; step < Number(steps) && writer.foldOn(1); step += 1) writeSync(1, 'folded\n')
process.kill(process.pid, 'SIGKILL')
