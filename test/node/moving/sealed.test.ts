// Data of subjects on the move: what an export, an import, a backup and a restore do with what rests encrypted.
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkReplay } from '../../../src/node/doctor-history.ts'
import { openStoreReader } from '../../../src/store/sqlite/open-store-reader.ts'
import { customer, filesWith, tell } from '../../erasure/customers.ts'
import { directoryOf } from '../../support/directory-of.ts'
import { gather } from '../../support/gather.ts'
import { runCli } from '../../support/memory-io.ts'
import { counter, eventually } from '../memory-cluster.ts'
import { serveNode } from './served-node.ts'

const aggregates = [customer, counter]

t.test('sealed data on the move', { timeout: 180_000 }, async t => {
  const folder = directoryOf(t)
  const json = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { code, out, err } = await runCli(folder, [...args, '--json'])
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${err}`)
    return JSON.parse(out) as Record<string, unknown>
  }
  const a = await serveNode(t, join(folder, 'a'), { aggregates })
  await tell(a.node, '1', 'Register', { name: 'Grace Secretname' })
  await tell(a.node, '1', 'Visit', { page: 'plainpage' })
  await tell(a.node, '2', 'Register', { name: 'Gone Secretname' })
  t.match(await a.node.forget('person-2', { timeoutMs: 60_000 }), { complete: true })
  const backup = await json('backup', 'a.backup', '--data-dir', 'a')
  const running = await json('export', 'running.ndjson', '--data-dir', 'a')
  await a.close()

  await t.test('a stopped node exports what a running one does', async t => {
    const stopped = await json('export', 'stopped.ndjson', '--data-dir', 'a')
    t.match(stopped, { events: running['events'], hash: running['hash'], token: running['token'] })
    const text = readFileSync(join(folder, 'stopped.ndjson'), 'utf8')
    t.match(text, 'Grace Secretname')
    t.match(text, 'glyn.Forgotten')
    t.notMatch(text, /\$encrypted|Gone Secretname/)
  })

  await t.test('doctor says what it does not replay', async t => {
    const store = openStoreReader(join(folder, 'a', 'glyn.db'))
    t.teardown(() => store.close())
    const bindings = new Map([['customer', { definition: customer, definitionId: 'x' }]])
    const ends = new Map(store.recover().map(({ partition, lastIndex }) => [partition, lastIndex]))
    const options = { dataDirectory: join(folder, 'a'), configDirectory: null, deep: true }
    const [replay] = await checkReplay(store, { bindings, ends, options })
    t.match(replay, {
      text: /2 aggregates, .*; 2 aggregates only up to the first event that rests encrypted/,
    })
  })

  await t.test('an import encrypts them anew, and takes none that are encrypted', async t => {
    const b = await serveNode(t, join(folder, 'b'), { aggregates, partitions: 3 })
    const imported = await json('import', 'running.ndjson', '--data-dir', 'b')
    t.match(imported, { hash: running['hash'], appended: 4 })
    t.match(await json('import', 'running.ndjson', '--data-dir', 'b'), { appended: 0, there: 4 })
    t.match((await b.node.loadAggregate('customer', '1')).state, { name: 'Grace Secretname', visits: 1 })
    t.match((await b.node.loadAggregate('customer', '2')).state, { name: null, forgotten: 1 })
    t.same(filesWith(join(folder, 'b'), 'Secretname'), [])
    const sealed = { $encrypted: { keys: ['AAAAAAAAAAAAAAAAAAAAAA'], iv: 'AA', tag: 'AA', data: 'AA' } }
    const forged = b.node.append([
      {
        aggregate: { type: 'letter', id: '1' },
        expectedSequence: 0,
        commandId: 'forged',
        timeMs: 0,
        metadata: '{}',
        events: [{ type: 'Sent', version: 1, data: JSON.stringify(sealed) }],
      },
    ])
    await t.rejects(forged, { code: 'INVALID_ARGUMENT', message: /append 1: event 1: data .*not encrypted/ })
    t.equal((await gather(b.node.subscribe({ from: 'start', until: 'now' }))).length, running['events'])
    await b.close()
  })

  await t.test('a backup holds ciphertext; restored, it asks for the keys, and takes them', async t => {
    t.notMatch(readFileSync(join(folder, 'a.backup'), 'latin1'), /Secretname/)
    t.match(await json('backup', 'verify', 'a.backup'), { hash: backup['hash'] })
    await json('restore', 'a.backup', '--data-dir', 'r')
    const bare = await serveNode(t, join(folder, 'r'), { aggregates })
    await t.rejects(bare.node.loadEvents('customer', '1', { timeoutMs: 2000 }))
    const { code, err } = await runCli(folder, ['export', 'bare.ndjson', '--data-dir', 'r'])
    t.equal(code, 4, 'an export ends, and does not wait for ever')
    t.match(err, /error: key .* is not on this node, and no member/)
    await bare.node.execute('counter', 'c', { type: 'Add', data: { by: 1 } })
    t.match((await bare.node.loadAggregate('counter', 'c')).state, {}, 'what is about nobody goes on')
    t.equal(
      (await bare.node.status()).quarantined.count,
      0,
      'a key that is not here is no fault of the history',
    )
    await bare.close()
    const stopped = await runCli(folder, ['export', 'cold.ndjson', '--data-dir', 'r'])
    t.equal(stopped.code, 4)
    t.match(
      stopped.err,
      /error: event customer\/\d\/1: its key .* is not on this node.*put keys.db and keys.bin back/,
    )
    for (const file of ['keys.db', 'keys.bin']) copyFileSync(join(folder, 'a', file), join(folder, 'r', file))
    const whole = await serveNode(t, join(folder, 'r'), { aggregates })
    t.match((await whole.node.loadAggregate('customer', '1')).state, { name: 'Grace Secretname', visits: 1 })
    t.match((await whole.node.loadAggregate('customer', '2')).state, { name: null, forgotten: 1 })
    await whole.close()
  })
})

t.test('a type whose file is gone is forgotten all the same', { timeout: 120_000 }, async t => {
  const folder = directoryOf(t)
  const before = await serveNode(t, folder, { aggregates })
  await tell(before.node, '1', 'Register', { name: 'Grace' })
  await before.close()
  const after = await serveNode(t, folder, { aggregates: [counter] })
  t.match(await after.node.forget('person-1', { timeoutMs: 10_000 }), { complete: true })
  await eventually(async () => {
    const types = (await gather(after.node.subscribe({ from: 'start', until: 'now' }))).map(
      ({ type }) => type,
    )
    return types.length === 2 && types.every(type => type === 'glyn.Forgotten')
  }, 'its log says so')
  await after.close()
})

t.test('what does not fit its code is loaded again when it is forgotten', { timeout: 120_000 }, async t => {
  const folder = directoryOf(t)
  const before = await serveNode(t, folder, { aggregates })
  await tell(before.node, '1', 'Register', { name: 'Bobby Tables' })
  await before.close()
  const strict: typeof customer = {
    ...customer,
    apply(state, event) {
      if (event.type === 'Registered' && event.data.name.includes('Tables')) throw new Error('not that one')
      return customer.apply(state, event)
    },
  }
  const after = await serveNode(t, folder, { aggregates: [strict] })
  await t.rejects(after.node.loadAggregate('customer', '1'), { code: 'AGGREGATE_QUARANTINED' })
  t.match(await after.node.forget('person-1', { timeoutMs: 10_000 }), { complete: true })
  t.match((await after.node.loadAggregate('customer', '1')).state, { name: null, forgotten: 1 })
  t.equal((await after.node.status()).quarantined.count, 0)
  await after.close()
})
