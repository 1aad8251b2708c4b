// A backup of three nodes under load: nothing acknowledged before it is missing, it restores to one node and to three, and
// what queries answer is as it was.
import { join } from 'node:path'
import t from 'tap'
import { formatToken, parseToken } from '../../../src/core/token.ts'
import type { NodeApi } from '../../../src/node/node-api.ts'
import type { NodeOptions } from '../../../src/node/node-options.ts'
import { defineQuery } from '../../../src/query/define-query.ts'
import { directoryOf } from '../../support/directory-of.ts'
import { gather } from '../../support/gather.ts'
import { runCli } from '../../support/memory-io.ts'
import { counter, eventually } from '../memory-cluster.ts'
import { type ServedNode, serveNode } from './served-node.ts'

const sums = defineQuery({
  name: 'sums',
  init: db => void db.exec('create table if not exists sums (id text primary key, total integer not null)'),
  handle(id, events, { db }) {
    for (const { data } of events as readonly { readonly data: unknown }[])
      db.prepare(
        'insert into sums values (?, ?) on conflict do update set total = total + excluded.total',
      ).run(id, (data as { by: number }).by)
  },
  answer: { all: db => db.prepare('select id, total from sums order by id').all() },
})

const options: Partial<NodeOptions> = { aggregates: [counter], queries: [sums], partitions: 6 }

const voters = async (node: NodeApi): Promise<number[]> =>
  (await node.status()).partitions.map(partition => (partition.leader === null ? 0 : partition.voters.length))

interface Summary {
  readonly token: string
  readonly hash: string
  readonly events: number
  readonly entries: number
}

t.test('three nodes', { timeout: 300_000 }, async t => {
  const folder = directoryOf(t)
  const json = async (...args: string[]): Promise<Summary> => {
    const { code, out, err } = await runCli(folder, [...args, '--json'])
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${err}`)
    return JSON.parse(out) as Summary
  }
  const a = await serveNode(t, join(folder, 'a'), { ...options, name: 'a' })
  const b = await serveNode(t, join(folder, 'b'), { ...options, name: 'b', bootstrap: a.node.addresses() })
  const c = await serveNode(t, join(folder, 'c'), { ...options, name: 'c', bootstrap: a.node.addresses() })
  const nodes = [a.node, b.node, c.node]
  await eventually(
    async () => (await voters(a.node)).every(count => count === 3),
    'three voters of every partition',
  )

  const acknowledged: string[] = []
  let isLoaded = true
  let n = 0
  const work = async (worker: number): Promise<void> => {
    while (isLoaded) {
      const commandId = `c-${++n}`
      const node = nodes[worker % 3]
      if (node === undefined) return
      await node.execute('counter', `k${n % 40}`, { type: 'Add', data: { by: n % 9 } }, { commandId })
      acknowledged.push(commandId)
    }
  }
  const workers = Promise.all([0, 1, 2, 3, 4, 5].map(work))
  await eventually(() => acknowledged.length > 200, 'some load')
  const before = [...acknowledged]
  const underLoad = await json('backup', 'load.backup', '--data-dir', 'b')
  const after = acknowledged.length
  isLoaded = false
  await workers
  t.ok(after > before.length, 'commands went on meanwhile')
  const resting = await json('backup', 'rest.backup', '--data-dir', 'c')
  t.equal(resting.events, acknowledged.length)
  t.match(await json('backup', 'verify', 'rest.backup'), { hash: resting.hash, token: resting.token })
  t.equal(
    (await json('export', 'rest.ndjson', '--data-dir', 'a')).hash,
    resting.hash,
    'the hash of an export is the same',
  )

  const commandsIn = async (node: NodeApi): Promise<string[]> =>
    (await gather(node.subscribe({ from: 'start', until: 'now' }))).map(({ commandId }) => commandId)
  const answerOf = (node: NodeApi, token: string) =>
    node.query('sums', 'all', {}, { after: token, timeoutMs: 60_000 })

  await t.test('restored to one node: what was acknowledged before the backup is there', async t => {
    await json('restore', 'load.backup', '--data-dir', 'one')
    const one = await serveNode(t, join(folder, 'one'), options)
    t.not(one.node.clusterId, a.node.clusterId)
    const found = new Set(await commandsIn(one.node))
    t.strictSame(
      before.filter(id => !found.has(id)),
      [],
    )
    t.equal(found.size, underLoad.events)
    t.ok(
      [...found].every(id => acknowledged.includes(id)),
      'and nothing that never was',
    )
    // What the original saw up to those positions.
    const totals = new Map<string, number>()
    const positions = parseToken(underLoad.token)
    for (const event of await gather(a.node.subscribe({ from: 'start', until: underLoad.token }))) {
      const { partition, index } = event.position
      if (index > (positions.get(partition) ?? 0)) continue
      const { by } = event.data as { by: number }
      totals.set(event.aggregate.id, (totals.get(event.aggregate.id) ?? 0) + by)
    }
    const expected = [...totals].sort(([x], [y]) => (x < y ? -1 : 1)).map(([id, total]) => ({ id, total }))
    t.strictSame(await answerOf(one.node, underLoad.token), expected, 'a query answers as at that position')
    const again = await one.node.execute(
      'counter',
      'k1',
      { type: 'Add', data: { by: 5 } },
      { commandId: before.find(id => Number(id.slice(2)) % 40 === 1) ?? '' },
    )
    t.match(again, { type: 'accepted', replayed: true })
  })

  await t.test('restored to three nodes, which vote, answer, and are strangers to the old ones', async t => {
    await json('restore', 'rest.backup', '--data-dir', 'x')
    const x = await serveNode(t, join(folder, 'x'), { ...options, name: 'x' })
    const y = await serveNode(t, join(folder, 'y'), { ...options, name: 'y', bootstrap: x.node.addresses() })
    const z = await serveNode(t, join(folder, 'z'), { ...options, name: 'z', bootstrap: x.node.addresses() })
    await eventually(
      async () => (await voters(x.node)).every(count => count === 3),
      'three voters of every partition',
    )
    const answer = await answerOf(a.node, resting.token)
    for (const { node } of [x, y, z]) t.strictSame(await answerOf(node, resting.token), answer)
    t.match(await json('export', 'y.ndjson', '--data-dir', 'y'), { hash: resting.hash })
    const outcome = await z.node.execute('counter', 'k1', { type: 'Add', data: { by: 1 } })
    t.equal(outcome.type, 'accepted')
    t.ok('replicas' in outcome && outcome.replicas >= 2)
    t.match(await a.node.status(), { members: { length: 3 } })
    const members = new Set((await x.node.status()).members.map(({ peerId }) => peerId))
    for (const node of nodes) t.notOk(members.has(node.peerId), 'nobody of the old cluster is a member')
    // A subscription of the old cluster goes on at the new one.
    for await (const event of y.node.subscribe({ from: resting.token })) {
      t.equal(event.commandId, outcome.commandId)
      break
    }
    for (const served of [z, y, x]) await served.close()
  })
  for (const served of [c, b, a] satisfies ServedNode[]) await served.close()
})

t.test(
  'a node that holds no replica of a partition backs it up all the same',
  { timeout: 120_000 },
  async t => {
    const folder = directoryOf(t)
    // So many that hardly ever all of them belong on one node: ids are random.
    const sparse = { ...options, queries: [], replicas: 1, partitions: 20 }
    const a = await serveNode(t, join(folder, 'a'), sparse)
    const b = await serveNode(t, join(folder, 'b'), { ...sparse, bootstrap: a.node.addresses() })
    const q = await serveNode(t, join(folder, 'q'), {
      ...sparse,
      role: 'query',
      bootstrap: a.node.addresses(),
    })
    for (let n = 0; n < 100; n += 1)
      await b.node.execute('counter', `k${n}`, { type: 'Add', data: { by: n } })
    // As wanted it is also before anything is planned for b.
    await eventually(async () => {
      const { asWanted, nodes } = await a.node.placement()
      const leaders = (await a.node.status()).partitions.map(({ leader }) => leader)
      const isPlanned = nodes.filter(({ wantedLeads }) => wantedLeads > 0).length === 2
      return isPlanned && asWanted && new Set(leaders).size === 2
    }, 'replicas are spread, and each of two nodes holds some')
    const { code, out } = await runCli(folder, ['backup', 'q.backup', '--data-dir', 'q', '--json'])
    t.equal(code, 0)
    t.match(JSON.parse(out), { events: 100 })
    const heads = new Map((await a.node.status()).partitions.map(({ id, commitIndex }) => [id, commitIndex]))
    for (const [partition, index] of parseToken((JSON.parse(out) as Summary).token))
      if ((await a.node.status()).partitions[partition]?.leader === a.node.peerId)
        t.equal(index, heads.get(partition))
    t.ok(formatToken(heads) !== '')
    await b.close()
    const failed = await runCli(folder, ['backup', 'no.backup', '--data-dir', 'a', '--json'])
    t.equal(failed.code, 4, 'without the only replica of a partition there is no backup')
    t.match(failed.err, 'UNAVAILABLE')
    await q.close()
  },
)
