// Clients add through all nodes while nodes are cut off, muted, killed and brought back. Then everything is counted.
// SEED=7 node test/node/random-faults.test.ts plays the faults of one seed again (the timing of the machine differs).
import t, { type Test } from 'tap'
import { isGlynError } from '../../src/core/errors.ts'
import type { Accepted } from '../../src/core/outcome.ts'
import { partitionOf } from '../../src/core/partition-of.ts'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { eventually, type MemoryCluster, type MemoryNode } from './memory-cluster.ts'
import { add, entriesOf, healAll, leaderOf, logsAgree, required, startCluster } from './steering.ts'

const seeds = process.env['SEED'] === undefined ? [1, 2] : [Number(process.env['SEED'])]
const partitions = 3
const faultsMs = 4000
const faultsMsMax = 60_000
const counters = ['a', 'b', 'c', 'd', 'e', 'f']

interface Asked {
  readonly id: string
  readonly commandId: string
  readonly by: number
  outcome: Accepted | 'unknown' | undefined
}

for (const seed of seeds) {
  t.test(`nothing acknowledged is lost and nothing counts twice (seed ${seed})`, async t => {
    const random = seededRandom(seed)
    const cluster = await startCluster(3, { partitions })
    t.teardown(() => cluster.stop())
    const asked: Asked[] = []
    const failures: unknown[] = []
    let isOver = false

    async function client(name: number): Promise<void> {
      for (let n = 0; !isOver; n += 1) {
        const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)]
        if (node === undefined) continue
        const id = required(counters[Math.floor(random() * counters.length)])
        const one: Asked = {
          id,
          commandId: `${name}-${n}`,
          by: 1 + Math.floor(random() * 9),
          outcome: undefined,
        }
        asked.push(one)
        await askUntilKnown(one, node)
        await new Promise(resolve => setTimeout(resolve, 3))
      }
    }

    /** A client that gives up after a few tries, each through another node, as people do. */
    async function askUntilKnown(one: Asked, first: MemoryNode): Promise<void> {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const node = attempt === 0 ? first : required(cluster.nodes[attempt % cluster.nodes.length])
        try {
          const outcome = await node.execute(one.id, add(one.by), {
            commandId: one.commandId,
            timeoutMs: 40 + random() * 700,
          })
          if (outcome.type === 'accepted') one.outcome = outcome
          return
        } catch (error) {
          one.outcome = 'unknown'
          if (!isGlynError(error) || !error.retryable) failures.push(error)
        }
      }
    }

    const clients = Array.from({ length: 6 }, (_, name) => client(name))
    const acknowledged = (): number => asked.filter(({ outcome }) => typeof outcome === 'object').length
    await breakThings(cluster, random, () => acknowledged() > 100)
    isOver = true
    await Promise.all(clients)
    healAll(cluster)

    // Until somebody leads, logs may agree on less than what was acknowledged.
    for (const partition of [0, 1, 2, 3]) {
      await eventually(
        () => leaderOf(cluster, partition) !== undefined && logsAgree(cluster, partition),
        `partition ${partition} is led, and its logs agree`,
      )
    }
    t.same(failures, [])
    for (const node of cluster.nodes) t.same(node.failures, [], `${node.peerId} broke no invariant`)
    checkCounts(t, cluster, asked)
    for (const id of counters) await checkReads(t, cluster, id)
    t.ok(acknowledged() > 100, `${acknowledged()} of ${asked.length} commands were acknowledged`)
    // What nobody knew of is known after one retry.
    for (const one of asked.filter(({ outcome }) => outcome === 'unknown').slice(0, 20)) {
      const again = await required(cluster.nodes[0]).execute(one.id, add(one.by), {
        commandId: one.commandId,
      })
      t.equal(again.type, 'accepted')
    }
  })
}

/** For as long as is usual; on a slow machine until the clients have done something. */
async function breakThings(
  cluster: MemoryCluster,
  random: () => number,
  isEnough: () => boolean,
): Promise<void> {
  const { network } = cluster
  const pick = (): MemoryNode => required(cluster.nodes[Math.floor(random() * cluster.nodes.length)])
  const startedAt = performance.now()
  const isOver = (): boolean => {
    const elapsedMs = performance.now() - startedAt
    return elapsedMs > (isEnough() ? faultsMs : faultsMsMax)
  }
  while (!isOver()) {
    const [a, b] = [pick(), pick()]
    const others = cluster.nodes.filter(node => node !== a)
    switch (Math.floor(random() * 6)) {
      case 0:
        for (const { peerId } of others) network.cut(a.peerId, peerId)
        break
      case 1:
        if (a !== b) network.mute(a.peerId, b.peerId)
        break
      case 2:
        for (const { peerId } of others) network.mute(peerId, a.peerId)
        break
      case 3: {
        a.crash()
        await pause(100 + random() * 500)
        healAll(cluster)
        for (const { peerId } of others) network.heal(a.peerId, peerId)
        await cluster.start(a.peerId, { store: a.store })
        break
      }
      case 4:
        network.setFate(() => (random() < 0.05 ? 'lost' : Math.floor(random() * 15)))
        break
      default:
        network.setFate(() => 0)
        healAll(cluster)
    }
    await pause(100 + random() * 400)
    if (random() < 0.5) healAll(cluster)
  }
  network.setFate(() => 0)
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

function checkCounts(t: Test, cluster: MemoryCluster, asked: readonly Asked[]): void {
  const byId = new Map<string, Asked>(asked.map(one => [one.commandId, one]))
  for (const node of cluster.nodes) {
    const seen = new Map<string, number>()
    for (const id of counters) {
      const partition = partitionOf({ type: 'counter', id }, partitions)
      const rows = node.store.readAggregate(
        { type: 'counter', id },
        { partition, fromSequence: 1, throughIndex: entriesOf(node, partition).length, limit: 1e6 },
      )
      rows.forEach((row, place) => {
        if (row.sequence !== place + 1)
          t.fail(`${node.peerId}: ${id} has sequence ${row.sequence} at ${place + 1}`)
        seen.set(row.commandId, (seen.get(row.commandId) ?? 0) + 1)
        const one = byId.get(row.commandId)
        if (one === undefined || one.id !== id) {
          t.fail(`${row.commandId} in ${id} was never asked`)
          return
        }
        const { by } = JSON.parse(row.data) as { by: number }
        if (by !== one.by) t.fail(`${row.commandId} added ${by}, not ${one.by}`)
        const { outcome } = one
        if (typeof outcome !== 'object') return
        const event = outcome.events[0]
        if (event?.sequence !== row.sequence || event.position.index !== row.index) {
          t.fail(`${row.commandId} was acknowledged at ${event?.sequence}, and rests at ${row.sequence}`)
        }
      })
    }
    for (const one of asked) {
      const times = seen.get(one.commandId) ?? 0
      if (typeof one.outcome === 'object' && times !== 1)
        t.fail(`${node.peerId}: ${one.commandId}, acknowledged, is there ${times} times`)
      if (times > 1) t.fail(`${node.peerId}: ${one.commandId} is there ${times} times`)
    }
    t.pass(`${node.peerId}: ${asked.length} commands counted`)
  }
}

/**
 * No answer lacks what was committed before it was asked for. They are all the same in the end: of a command that nobody
 * waits for any more the last attempt may still be under way.
 */
async function checkReads(t: Test, cluster: MemoryCluster, id: string): Promise<void> {
  const partition = partitionOf({ type: 'counter', id }, partitions)
  const first = required(cluster.nodes[0])
  const stored = (throughIndex: number): number =>
    first.store
      .readAggregate({ type: 'counter', id }, { partition, fromSequence: 1, throughIndex, limit: 1e6 })
      .reduce((sum, row) => sum + (JSON.parse(row.data) as { by: number }).by, 0)
  for (const node of cluster.nodes) {
    let read = Number.NaN
    await eventually(
      async () => {
        const committed = stored(entriesOf(first, partition).length)
        ;({ total: read } = (await node.load(id)).state as { total: number })
        if (read < committed) t.fail(`${id} on ${node.peerId} is ${read}, and ${committed} were committed`)
        return read === stored(Number.MAX_SAFE_INTEGER)
      },
      () => `${id} on ${node.peerId} is ${read}, as it is stored: ${stored(Number.MAX_SAFE_INTEGER)}`,
    )
  }
}
