// Nodes that go one after the other, under steady load, as an operator does it: restarts cost a client of several nodes
// nothing, and a node that leaves takes nothing with it.
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createBatchSender, createControlTarget } from '../../src/cli/batch-target.ts'
import { createControlClient } from '../../src/http/control-client.ts'
import { ask, createWorkplace, eventually, type RealNode, repository, run } from './real-node.ts'

t.setTimeout(600_000)
/** Between two commands of a caller: some hundred commands a second, and most of both cores for the nodes. */
const restMs = 20

interface Status {
  readonly members: readonly { readonly name: string; readonly state: string }[]
}

t.test('a rolling restart of three nodes, and one that leaves: no command fails', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const options = ['--config', join(repository, 'config'), '--partitions', '8']
  const a = await place.start('a', options)
  const bootstrap = ['--bootstrap', a.ready.addresses[0] ?? '']
  const b = await place.start('b', [...options, ...bootstrap])
  const c = await place.start('c', [...options, ...bootstrap])
  await settled(a)
  const client = steadyClient([a, b, c])
  await client.afterMore(100)

  for (const node of [a, b, c]) {
    t.equal(await node.kill('SIGTERM'), 0, 'a graceful stop exits 0')
    await client.afterMore(50)
    await node.restart()
    await settled(node)
  }
  const restarts = client.take()
  t.same(restarts.failures, [], 'no command failed')
  t.comment(`longest stall of writes around the restarts: ${Math.round(restarts.stallMs)} ms`)

  const d = await place.start('d', [...options, ...bootstrap])
  const { code, stdout, stderr } = await run(['leave', '--data-dir', b.dataDir, '--json'])
  t.equal(code, 0, stderr)
  const lines = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { event: string; replicas?: number })
  t.match(lines[0], { event: 'leaving' })
  t.same(lines.at(-1), { event: 'left' })
  await eventually(async () => b.process.exitCode !== null, 'its process ends')
  t.equal(b.process.exitCode, 0)
  await settled(d)
  await client.afterMore(100)
  const left = client.take()
  t.same(left.failures, [], 'no command failed')
  t.comment(`longest stall of writes around the leave: ${Math.round(left.stallMs)} ms`)
  await client.stop()
  await eventually(async () => {
    const { members } = await ask<Status>(['status', '--data-dir', d.dataDir])
    return members.find(({ name }) => name === 'b')?.state === 'removed'
  }, 'd, too, knows that b is removed')

  await t.rejects(
    b.restart(),
    /the node ended with 1 before it was ready:[\s\S]*MEMBER_REMOVED[\s\S]*was removed from cluster/,
  )
})

/** Every partition has three voters and a leader and nothing is amiss, as this node sees it. Asked without a process. */
async function settled(node: RealNode): Promise<void> {
  const client = createControlClient({ socketPath: node.ready.control })
  try {
    await eventually(async () => {
      const { partitions, problems } = await client.status()
      return (
        problems.length === 0 &&
        partitions.every(partition => partition.leader !== null && partition.voters.length === 3)
      )
    }, 'three voters of every partition')
  } finally {
    await client.close()
  }
}

/** Eight accounts in turn, one command each under way, with the retry of `send-command --batch` over all nodes. */
function steadyClient(nodes: readonly RealNode[]) {
  const targets = nodes.map(node =>
    createControlTarget(createControlClient({ socketPath: node.ready.control })),
  )
  const send = createBatchSender(targets)
  let isStopped = false
  let accepted = 0
  let stallMs = 0
  let lastAt = performance.now()
  let failures: string[] = []
  const loops = Array.from({ length: 8 }, async (_, loop) => {
    for (let n = 0; !isStopped; n += 1) {
      const command = n === 0 ? 'OpenAccount' : 'DepositMoney'
      const data = n === 0 ? {} : { amount: 1 }
      const request = { type: 'bank_account', id: `acc-${loop}`, command, data, commandId: `${loop}-${n}` }
      try {
        const outcome = await send(request, 60_000)
        if (outcome.type !== 'accepted') failures.push(JSON.stringify(outcome))
      } catch (error) {
        failures.push(String(error))
      }
      accepted += 1
      stallMs = Math.max(stallMs, performance.now() - lastAt)
      lastAt = performance.now()
      await setTimeout(restMs)
    }
  })
  return {
    afterMore(count: number) {
      const goal = accepted + count
      return eventually(async () => accepted >= goal, `${count} more commands`)
    },
    take() {
      const taken = { failures, stallMs }
      failures = []
      stallMs = 0
      return taken
    },
    async stop() {
      isStopped = true
      await Promise.all(loops)
      await Promise.all(targets.map(target => target.close()))
    },
  }
}
