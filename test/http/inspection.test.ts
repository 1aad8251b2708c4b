// Snapshots and statistics over HTTP and on the command line, against one node in memory.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createControlClient } from '../../src/http/control-client.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createCoreNode } from '../support/core-node.ts'
import { createFolder, runCli } from '../support/memory-io.ts'

async function serve(t: Test) {
  const folder = await createFolder(t)
  await mkdir(join(folder, 'data'))
  const node = createCoreNode()
  const socketPath = join(folder, 'data', 'control.sock')
  const server = await createControlServer({ node, socketPath, log: silentLog })
  const client = createControlClient({ socketPath })
  t.teardown(async () => {
    await client.close()
    await server.close()
  })
  for (const [id, by] of [
    ['a/b ü', 2],
    ['wrong', 1],
  ] as const)
    await client.execute('counter', id, { type: 'Add', data: { by } })
  return { node, client, cli: (...argv: string[]) => runCli(folder, argv) }
}

t.test('a client gets what the node says', async t => {
  const { node, client } = await serve(t)
  t.same(await client.latestSnapshot('counter', 'a/b ü'), await node.latestSnapshot('counter', 'a/b ü'))
  t.equal(await client.latestSnapshot('counter', 'none'), null)
  t.same(await client.aggregateStats('counter', 'a/b ü'), await node.aggregateStats('counter', 'a/b ü'))
  await t.rejects(client.aggregateStats('counter', 'none'), { code: 'ENTITY_NOT_FOUND' })
  t.same(await client.systemStats(), await node.systemStats())
  const progress: unknown[] = []
  const summary = await client.rebuildSnapshots('counter', { onProgress: step => progress.push(step) })
  t.same(summary, await node.rebuildSnapshots('counter'))
  t.match(progress, [
    { done: 0, total: 2, current: { aggregate: { id: 'a/b ü' } } },
    { done: 1, total: 2 },
  ])
  t.match(await client.rebuildSnapshots('counter', { id: 'a/b ü' }), { rebuilt: 1, differencesTotal: 0 })
  await t.rejects(client.rebuildSnapshots('coutner'), { code: 'UNKNOWN_AGGREGATE_TYPE' })
  const stop = AbortSignal.abort(new Error('enough'))
  await t.rejects(client.rebuildSnapshots('counter', { signal: stop }), { message: 'enough' })
})

t.test('the command line shows snapshots, and says when there is none', async t => {
  const { cli } = await serve(t)
  const text = await cli('snapshot', 'counter', 'a/b ü')
  t.match(text, {
    code: 0,
    out: /counter\/a\/b ü {2}sequence 1, partition \d, index \d.*\n\{\n {2}"total": 2\n\}/,
  })
  const json = await cli('snapshot', 'counter', 'a/b ü', '--json')
  t.match(JSON.parse(json.out), { sequence: 1, state: { total: 2 }, isCurrent: true })
  t.match(await cli('snapshot', 'counter', 'none'), { code: 5, err: /counter "none" has no snapshot/ })
})

t.test('snapshots are made again; a difference is told, and exits 1', async t => {
  const { cli } = await serve(t)
  t.match(await cli('snapshot', 'rebuild', 'counter', 'a/b ü'), {
    code: 0,
    out: /^1 snapshot made again, all as the events say\n$/,
  })
  t.match(await cli('snapshot', 'rebuild', 'counter'), {
    code: 1,
    out: /^differs {2}counter\/wrong, sequence 1: its snapshot was \{"total":1\}, its events say \{"total":2\}\n2 snapshots made again, 1 differed, and are corrected\n$/,
  })
  const json = await cli('snapshot', 'rebuild', 'counter', '--json')
  t.equal(json.code, 1)
  const lines = json.out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { event: string })
  t.same(
    lines.map(({ event }) => event),
    ['rebuilding', 'rebuilding', 'rebuilt'],
  )
  t.match(await cli('snapshot', 'rebuild', 'coutner'), { code: 2, err: /Did you mean counter\?/ })
})

t.test('statistics of the node and of an aggregate', async t => {
  const { cli } = await serve(t)
  t.match(await cli('stats'), { code: 0, out: /commands +2 accepted[\s\S]*counter +2 +2 +\S+ v1: 2/ })
  t.match(JSON.parse((await cli('stats', '--json')).out), { store: { events: 2 } })
  t.match(await cli('stats', 'counter', 'a/b ü'), {
    code: 0,
    out: /events +1, \d+ bytes\n[\s\S]*snapshot +none/,
  })
  t.match(JSON.parse((await cli('stats', 'counter', 'a/b ü', '--json')).out), { sequence: 1, pending: 0 })
  t.match(await cli('stats', 'counter'), { code: 2, err: /the id of the counter is missing/ })
  t.match(await cli('stats', 'counter', 'none'), { code: 5 })
})

t.test('a body that is wrong is refused with what is allowed', async t => {
  const { client } = await serve(t)
  for (const [type, options, message] of [
    [3, {}, /type is missing in the body/],
    ['counter', { id: 3 }, /id is 3; allowed: the id of an aggregate/],
  ] as const) {
    const call = client.rebuildSnapshots(type as string, options as unknown as { id: string })
    await t.rejects(call, { code: 'INVALID_ARGUMENT', message })
  }
})
