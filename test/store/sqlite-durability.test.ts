// What makes an acknowledgement true: fsync, group commit, and an end for good after the first failure.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { startWriterClient } from '../../src/store/sqlite/writer-client.ts'
import { batchOf, createChain } from './entries.ts'
import { runChild } from './run-child.ts'

const noStrace =
  spawnSync('strace', ['-f', '-e', 'trace=fsync', 'true']).status === 0
    ? false
    : 'strace is not installed, or may not trace here'

t.test('writes that gather while a commit is under way go together in the next', async t => {
  const store = await openSqliteStore({ path: join(t.testdir(), 'glyn.db') })
  t.teardown(() => store.close())
  const writesMax = 2000
  await Promise.all(
    Array.from({ length: 20 }, async (_, worker) => {
      const chain = createChain({ partition: worker + 1 })
      for (let write = 0; write < writesMax / 20; write += 1) {
        const entries = [chain.command(`${worker}`)]
        await store.write(batchOf({ partitions: [{ partition: worker + 1, entries }] }))
      }
    }),
  )
  const { commits, entries } = store.statistics()
  t.equal(entries, writesMax)
  t.ok(commits >= 100 && commits < writesMax / 5, `${commits} commits for ${writesMax} writes`)
})

t.test('past its bound a write is refused with OVERLOADED, and the store goes on', async t => {
  const store = await openSqliteStore({ path: join(t.testdir(), 'glyn.db') })
  t.teardown(() => store.close())
  const writes = Array.from({ length: 16_390 }, (_, number) =>
    store.write(batchOf({ settings: { number: String(number) } })),
  )
  const results = await Promise.allSettled(writes)
  const refused = results.filter(result => result.status === 'rejected')
  t.equal(refused.length, 6)
  t.match(refused[0]?.reason, { code: 'OVERLOADED', message: /16384 batches .* allowed: 16384 batches/ })
  t.equal(store.settings().get('number'), '16383', 'what was accepted is there')
  await store.write(batchOf({ settings: { number: 'after' } }))
  t.equal(store.settings().get('number'), 'after')
})

t.test('every commit is followed by an fsync', { skip: noStrace }, async t => {
  const directory = t.testdir()
  const trace = join(directory, 'trace.txt')
  const child = runChild('./write-until-killed.ts', {
    arguments: [join(directory, 'glyn.db'), '1', '1', '60'],
    wrap: ['strace', '-f', '-qq', '-e', 'trace=fsync,fdatasync', '-o', trace],
  })
  t.teardown(() => child.process.kill('SIGKILL'))
  t.equal(await child.ended, 0, child.errors())
  const acknowledged = child.lines.filter(line => line.startsWith('ack')).length
  const syncs = readFileSync(trace, 'utf8').match(/f(data)?sync\(/g)?.length ?? 0
  t.equal(acknowledged, 60)
  t.ok(syncs >= acknowledged, `${syncs} syncs for ${acknowledged} commits, one after the other`)
})

t.test('after a failed fsync nothing is acknowledged any more', { skip: noStrace }, async t => {
  const child = runChild('./write-on.ts', {
    arguments: [join(t.testdir(), 'glyn.db'), '40'],
    // The first syncs belong to the opening.
    wrap: [
      'strace',
      '-f',
      '-qq',
      '-o',
      '/dev/null',
      '-e',
      'trace=fsync,fdatasync',
      '-e',
      'inject=fsync,fdatasync:error=EIO:when=25',
    ],
  })
  t.teardown(() => child.process.kill('SIGKILL'))
  t.equal(await child.ended, 0, child.errors())
  const firstFailure = child.lines.findIndex(line => line.startsWith('failed'))
  t.ok(firstFailure > 0, 'some were acknowledged, then one failed')
  t.match(child.lines[firstFailure], /^failed EVENT_STORE_ERROR .*SQLITE_IOERR_FSYNC/)
  for (const line of child.lines.slice(firstFailure)) t.equal(line, child.lines[firstFailure])
  t.equal(child.lines.length, 40, 'though the disk was well again')
})

t.test('what waits behind a write that failed is not written', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const store = await openSqliteStore({ path })
  const chain = createChain()
  await store.write(batchOf({ partitions: [{ partition: 1, entries: [chain.noop()] }] }))
  // Larger than a group: what follows waits in the queue of the thread. It fails after its first entry was taken.
  const large = chain.command('a', { data: JSON.stringify('x'.repeat(5 * 1024 * 1024)) })
  const gap = createChain({ partition: 2 })
  gap.noop()
  const broken = [
    { partition: 1, entries: [large] },
    { partition: 2, entries: [gap.noop()] },
  ]
  const writes = [store.write(batchOf({ partitions: broken }))]
  const waiting = [
    { partition: 3, entries: [createChain({ partition: 3 }).noop()] },
    { partition: 1, entries: [chain.noop()] },
    { partition: 1, entries: [chain.noop()] },
  ]
  for (const write of waiting) {
    writes.push(store.write(batchOf({ partitions: [write] })))
    // Each is a message of its own.
    await Promise.resolve()
    await Promise.resolve()
  }
  for (const result of await Promise.allSettled(writes)) {
    t.match(result, { status: 'rejected', reason: { message: 'partition 2: append of index 2 after 0' } })
  }
  await store.close()
  const again = await openSqliteStore({ path })
  t.match(again.recover(), [{ partition: 1, lastIndex: 1 }])
  t.equal(again.recover().length, 1)
  await again.close()
})

t.test('a crash of the writer thread rejects what waits, and every later write', async t => {
  const client = await startWriterClient({
    path: 'nowhere.db',
    log: silentLog,
    thread: new URL('./crashing-thread.ts', import.meta.url),
  })
  const results = await Promise.allSettled([client.write(batchOf({})), client.write(batchOf({}))])
  for (const result of results) {
    t.match(result, { status: 'rejected', reason: { code: 'EVENT_STORE_ERROR', message: /crashed: boom/ } })
  }
  await t.rejects(client.write(batchOf({})), { message: /crashed: boom/ })
  await client.close()
})
