// A node killed while keys are made: whatever was acknowledged can be read by those that are left. Real processes.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ControlClient, createControlClient } from '../../src/http/control-client.ts'
import { createWorkplace, eventually, type RealNode } from '../e2e/real-node.ts'

const aggregate = `
import { defineAggregate } from 'glyn-node'
export default defineAggregate({
  type: 'person',
  emptyState: { names: [] },
  subject: (_, id) => id,
  handle: (_, command) => ({ type: 'Named', data: command.data }),
  apply: (state, event) => ({ names: [...state.names, event.data.name] }),
})
`

t.setTimeout(300_000)

t.test('kill -9 while keys are made', async t => {
  const workplace = createWorkplace()
  t.teardown(() => workplace.close())
  const config = join(workplace.folder, 'config')
  mkdirSync(join(config, 'aggregates'), { recursive: true })
  writeFileSync(join(config, 'aggregates', 'person.ts'), aggregate)
  const settings = ['--config', config, '--partitions', '3']
  const nodes: RealNode[] = [await workplace.start('n0', settings)]
  const bootstrap = nodes[0]?.ready.addresses[0] ?? ''
  for (const name of ['n1', 'n2']) {
    nodes.push(await workplace.start(name, [...settings, '--bootstrap', bootstrap]))
  }
  const clientOf = ({ ready }: RealNode): ControlClient => createControlClient({ socketPath: ready.control })
  const clients = nodes.map(clientOf)
  t.teardown(() => Promise.all(clients.map(client => client.close())).then(() => undefined))
  await eventually(async () => {
    const { asWanted } = await (clients[0] as ControlClient).placement()
    return asWanted
  }, 'every replica is in its place')

  const acknowledged = new Set<string>()
  let isDone = false
  let next = 0
  const write = async (): Promise<void> => {
    while (!isDone) {
      next += 1
      const id = `person-${next}`
      const client = clients[next % 3]
      try {
        const outcome = await client?.execute(
          'person',
          id,
          { type: 'Name', data: { name: `name of ${id}` } },
          { timeoutMs: 5000 },
        )
        if (outcome?.type === 'accepted') acknowledged.add(id)
      } catch {
        // Its node was killed, or had no majority: it was not acknowledged.
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
  }
  const writers = Array.from({ length: 6 }, write)
  await eventually(async () => acknowledged.size > 40, 'something is acknowledged')
  // It formed the cluster, so it leads something, or did a moment ago.
  await nodes[0]?.kill('SIGKILL')
  const killed = acknowledged.size
  await eventually(async () => acknowledged.size > killed + 15, 'the others go on')
  isDone = true
  await Promise.all(writers)
  const ids = [...acknowledged]
  const left = clients[1] as ControlClient
  const states = await Promise.all(ids.map(id => left.loadAggregate('person', id, { timeoutMs: 60_000 })))
  t.same(
    states.map(({ state }) => state),
    ids.map(id => ({ names: [`name of ${id}`] })),
    `all of ${ids.length}, ${killed} of them before it was killed`,
  )
})
