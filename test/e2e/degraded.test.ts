// Three nodes that lose two: what people see before, meanwhile and after, and how the third goes on alone.
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import t from 'tap'
import type { Outcome } from '../../src/core/outcome.ts'
import { type ControlClient, createControlClient } from '../../src/http/control-client.ts'
import type { Explanation } from '../../src/node/explanation.ts'
import type { NodeStatus } from '../../src/node/node-api.ts'
import { askInWords, createWorkplace, eventually, type RealNode, run, runJson, settled } from './real-node.ts'

t.setTimeout(300_000)
const place = createWorkplace()
t.teardown(() => place.close())
let a: RealNode
let b: RealNode
let c: RealNode
const accounts = ['acc-1', 'acc-2']

t.before(async () => {
  a = await place.start('a', ['--partitions', '4'])
  const contact = a.ready.addresses[0] ?? ''
  const others = [place.start('b', ['--bootstrap', contact]), place.start('c', ['--bootstrap', contact])]
  ;[b, c] = (await Promise.all(others)) as [RealNode, RealNode]
  await settled(a, 3)
  for (const id of accounts) {
    await send(a, id, 'OpenAccount')
    await send(a, id, 'DepositMoney', { amount: 7 })
  }
})

t.test('explain, on any node, says where an aggregate lives, why, and how far all is', async t => {
  let seen = await explain(b, 'acc-1')
  await eventually(async () => {
    seen = await explain(b, 'acc-1')
    const { leader, replicas, queries, pending, problems } = seen
    return (
      leader?.isPreferred === true &&
      replicas.length === 3 &&
      replicas.every(({ behind }) => behind === 0) &&
      queries.length === 6 &&
      queries.every(({ behind }) => behind === 0) &&
      pending.commands === 0 &&
      problems.length === 0
    )
  }, 'b knows that all replicas, and both queries on three nodes, have everything')
  t.match(seen.why.join(' '), /rendezvous hashing\): 1 [abc], 2 [abc], 3 [abc]\. The first 3 hold a replica/)
  t.match(
    seen.changes.find(({ type }) => type === 'elected'),
    { name: /^[abc]$/, reason: /^elected in term \d+: / },
  )
  await eventually(async () => {
    const stdout = await askInWords(['explain', 'bank_account', 'acc-1', ...at(b)])
    const wanted =
      /^bank_account\/acc-1\npartition +\d of 4[\s\S]*leader, voter +1 [\s\S]*No problems with this partition/
    if (!wanted.test(stdout)) throw new Error(stdout)
    return true
  }, 'explain says so in words')
  await eventually(async () => {
    const stdout = await askInWords(['placement', ...at(b)])
    // It may lead all four, or none.
    if (/a +█*▒* +replicas 4, leaderships \d[\s\S]*Everything is where it belongs/.test(stdout)) return true
    throw new Error(stdout)
  }, 'placement shows the spread')
})

t.test('commands leave no line in the logs', async t => {
  const nodes = [a, b, c]
  const lines = (): number => nodes.reduce((sum, node) => sum + node.log().split('\n').length, 0)
  const before = lines()
  const client = createControlClient({ socketPath: b.ready.control })
  const command = { type: 'DepositMoney', data: { amount: 1 } }
  const outcomes = await Promise.all(
    Array.from({ length: 300 }, (_, n) => client.execute('bank_account', accounts[n % 2] ?? '', command)),
  )
  await client.close()
  t.ok(outcomes.every(({ type }) => type === 'accepted'))
  // What else happens on a busy machine (an election) may be told; commands are not.
  t.ok(lines() - before < 150, `${lines() - before} lines for 300 commands on three nodes`)
  t.notMatch(nodes.map(node => node.log()).join(''), /DepositMoney|acc-1/)
})

t.test('one node dies: the others say so, in the log and in status, with what to do', async () => {
  await b.kill('SIGKILL')
  await eventually(async () => /cluster: lost contact with b/.test(a.log()), 'a tells of b')
  await eventually(async () => {
    const { problems } = await status(a)
    return (
      problems.some(text => /^node b .* cannot be reached, for \d+ s: start it again/.test(text)) &&
      problems.some(text => /works with fewer replicas than it should have, without b/.test(text))
    )
  }, 'status tells of b')
})

t.test('the majority is gone: nothing is acknowledged, and everybody is told who is missing', async t => {
  await c.kill('SIGKILL')
  await eventually(
    async () =>
      (await status(a)).problems.some(text => /commands wait for .*see glyn-node recover/.test(text)),
    'status tells of the majority',
  )
  t.match((await status(a)).problems.join('\n'), /the controller has no leader: 2 of its 3 voters .* wait\./)
  const refused = await run([
    'send-command',
    'bank_account',
    'acc-1',
    'DepositMoney',
    'amount:=1',
    '--id',
    'refused-1',
    ...at(a),
    '--timeout',
    '1s',
  ])
  t.equal(refused.code, 4)
  t.match(refused.stderr, /2 of its 3 voters cannot be reached from here: [bc] \(12D3\w+\) since 20/)
  const read = await run(['state', 'bank_account', 'acc-1', ...at(a), '--timeout', '1s', '--json'])
  t.equal(read.code, 4)
  t.match(JSON.parse(read.stderr), { error: { code: 'UNAVAILABLE', details: { missing: { length: 2 } } } })
  await eventually(async () => {
    const { leader, replicas } = await explain(a, 'acc-1')
    return (
      leader === null && replicas.filter(({ unreachableSince }) => unreachableSince !== null).length === 2
    )
  }, 'explain works without a leader, and names who is missing')
})

t.test('recover: what is left goes on, with all that it had, and the lost are out for ever', async t => {
  const lost = [b.ready.peerId, c.ready.peerId].sort()
  const running = await run(['recover', ...at(a), '--i-accept-data-loss', '--json'])
  t.equal(running.code, 1)
  t.match(running.stderr, /"code":"ALREADY_RUNNING"/, 'the directory of a running node is not touched')
  for (const node of [b, c]) rmSync(node.dataDir, { recursive: true, force: true })
  await a.kill('SIGKILL')

  const asked = await run(['recover', ...at(a)])
  t.equal(asked.code, 2, 'it does nothing that was not confirmed')
  t.match(asked.stderr, /0, controller +1 of 3 +alone on a/)
  t.match(asked.stderr, /What was acknowledged beyond "last index" is lost/)
  t.match(asked.stderr, /nothing was changed: .*--i-accept-data-loss/)

  const done = await runJson<Plan>(['recover', ...at(a), '--i-accept-data-loss'])
  t.match(done, { recovered: true, groups: Array.from({ length: 5 }, () => ({ action: 'recover' })) })
  t.same(done.lost.map(({ peerId }) => peerId).sort(), lost)
  const again = await runJson<Plan>(['recover', ...at(a), '--i-accept-data-loss'])
  t.equal(again.recovered, false, 'once is enough')

  await a.restart()
  // The last leader may have had it in its log, and what rests there is kept: who sends it again finds out.
  const retried = await send(a, 'acc-1', 'DepositMoney', { amount: 1 }, 'refused-1')
  t.match(retried, { type: 'accepted', sequence: 153 }, 'the history is whole, and goes on')
  t.match(await send(a, 'acc-1', 'DepositMoney', { amount: 3 }), { type: 'accepted', sequence: 154 })
  t.match(await send(a, 'acc-2', 'DepositMoney', { amount: 3 }), { type: 'accepted', sequence: 153 })
  await eventually(async () => (await total(a)) === 2 * (7 + 150 + 3) + 1, 'the read model was built again')
  await eventually(async () => (await status(a)).problems.length === 0, 'all is well')
  const { members } = await status(a)
  t.same(
    members
      .filter(({ state }) => state === 'removed')
      .map(({ peerId }) => peerId)
      .sort(),
    lost,
  )
})

interface Plan {
  readonly recovered: boolean
  readonly lost: readonly { readonly peerId: string; readonly name: string }[]
  readonly groups: readonly { readonly partition: number; readonly action: string }[]
}

const at = (node: RealNode): string[] => ['--data-dir', node.dataDir]
/** Through the socket, as the command line does, without its process. */
async function ask<T>(node: RealNode, question: (client: ControlClient) => Promise<T>): Promise<T> {
  const client = createControlClient({ socketPath: node.ready.control })
  try {
    return await question(client)
  } finally {
    await client.close()
  }
}

const status = (node: RealNode): Promise<NodeStatus> => ask(node, client => client.status())
const explain = (node: RealNode, id: string): Promise<Explanation> =>
  ask(node, client => client.explain('bank_account', id))

const send = (
  node: RealNode,
  id: string,
  type: string,
  data: object = {},
  commandId: string = randomUUID(),
): Promise<Outcome> =>
  ask(node, client => client.execute('bank_account', id, { type, data }, { timeoutMs: 30_000, commandId }))

const total = async (node: RealNode): Promise<number> => {
  const answer = await ask(node, client => client.query('balance', 'total', {}))
  return (answer as { readonly amount: number }).amount
}
