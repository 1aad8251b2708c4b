// A client that sends steadily through another node: a graceful stop costs it nothing, a kill costs seconds at most.
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { createControlClient } from '../../src/http/control-client.ts'
import { ask, createWorkplace, eventually, type RealNode, repository, settled } from './real-node.ts'

t.setTimeout(600_000)
/** Between two commands of a caller: some hundred commands a second, and most of both cores for the nodes. */
const restMs = 20

interface Status {
  readonly partitions: readonly { readonly id: number; readonly leader: string | null }[]
}

t.test('a node that stops, and one that is killed, while commands go on through another', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const config = ['--config', join(repository, 'config')]
  const a = await place.start('a', config)
  const b = await place.start('b', [...config, '--bootstrap', a.ready.addresses[0] ?? ''])
  const c = await place.start('c', [...config, '--bootstrap', a.ready.addresses[0] ?? ''])
  await settled(a, 3)
  const leads = async (node: RealNode): Promise<number> => {
    const { partitions } = await ask<Status>(['status', '--data-dir', a.dataDir])
    return partitions.filter(({ leader }) => leader === node.ready.peerId).length
  }
  await eventually(async () => (await leads(b)) > 0 && (await leads(c)) > 0, 'b and c lead something')

  const steady = steadyClient(a)
  await steady.afterMore(200)
  t.equal(await b.kill('SIGTERM'), 0, 'a graceful stop exits 0')
  await steady.afterMore(200)
  await b.restart()
  await settled(a, 3)
  await eventually(async () => (await leads(b)) > 0, 'b leads again')
  await steady.afterMore(100)
  const graceful = steady.take()
  t.same(graceful.failures, [], 'no command failed')

  const killedAt = performance.now()
  await c.kill('SIGKILL')
  await steady.afterMore(200)
  const killed = steady.take()
  t.same(killed.failures, [], 'no command failed: they were tried again until the new leaders took them')
  t.comment(
    `longest command: ${Math.round(graceful.longestMs)} ms around the stop, ${Math.round(killed.longestMs)} ms around the kill`,
  )
  t.comment(`commands went on ${Math.round(performance.now() - killedAt)} ms after the kill`)
  await steady.stop()
})

/** Eight accounts, each with one command under way, over all partitions in turn. */
function steadyClient(node: RealNode) {
  const client = createControlClient({ socketPath: node.ready.control })
  let isStopped = false
  let accepted = 0
  let longestMs = 0
  let failures: string[] = []
  const loops = Array.from({ length: 8 }, async (_, loop) => {
    for (let n = 0; !isStopped; n += 1) {
      const startedAt = performance.now()
      try {
        const id = `acc-${loop}-${n % 40}`
        const command =
          n < 40 ? { type: 'OpenAccount', data: {} } : { type: 'DepositMoney', data: { amount: 1 } }
        const outcome = await client.execute('bank_account', id, command, { timeoutMs: 60_000 })
        if (outcome.type !== 'accepted') failures.push(JSON.stringify(outcome))
        accepted += 1
      } catch (error) {
        failures.push(String(error))
      }
      longestMs = Math.max(longestMs, performance.now() - startedAt)
      await setTimeout(restMs)
    }
  })
  return {
    afterMore(count: number) {
      const goal = accepted + count
      return eventually(async () => accepted >= goal, `${count} more commands`)
    },
    take() {
      const taken = { failures, longestMs }
      failures = []
      longestMs = 0
      return taken
    },
    async stop() {
      isStopped = true
      await Promise.all(loops)
      await client.close()
    },
  }
}
