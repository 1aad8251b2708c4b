// What the log keeps in memory.
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Entry } from '../../src/raft/entry.ts'
import { RaftLog } from '../../src/raft/raft-log.ts'
import { hashEntry } from './replica-disk.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

t.test('entries that are durable and committed do not stay in memory, however large', async t => {
  const reader = { entries: () => [], term: () => undefined, hash: () => undefined }
  const log = new RaftLog({ reader, hashEntry, lastIndex: 0, commitIndex: 0 })
  const seen: WeakRef<Entry>[] = []
  for (let number = 0; number < 200; number += 1) {
    seen.push(new WeakRef(log.append({ term: 1, kind: 'command', payload: new Uint8Array(100_000) })))
  }
  log.takeWrite()
  log.written()
  log.commitTo(log.lastIndex)
  await turn()
  collectGarbage()
  const alive = seen.filter(entry => entry.deref() !== undefined).length
  t.ok(alive <= 2, `${alive} of 200 entries of 100 kB are held; allowed: 64 KiB, and the last`)
  t.equal(log.lastIndex, 200)
})
