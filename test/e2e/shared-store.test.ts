// Three nodes on one PostgreSQL: any node takes commands, one is killed, the database restarts; nothing is lost or doubled.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ControlClient, createControlClient } from '../../src/http/control-client.ts'
import type { NodeStatus } from '../../src/node/node-api.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { createWorkplace, eventually, type RealNode, repository, run, settled } from './real-node.ts'

const accounts = 60
const deposits = Number(process.env['GLYN_E2E_DEPOSITS'] ?? 1500)

interface Summary {
  readonly summary: { readonly accepted: number; readonly rejected: number; readonly failed: number }
}

const lines = (count: number, line: (n: number) => object): string[] =>
  Array.from({ length: count }, (_, n) => JSON.stringify(line(n)))

async function batch(
  nodes: readonly RealNode[],
  commands: readonly string[],
  file: string,
): Promise<Summary> {
  writeFileSync(file, commands.join('\n'))
  const targets = nodes.flatMap(({ dataDir }) => ['--data-dir', dataDir])
  const args = ['send-command', '--batch', file, '--json', '--timeout', '120', ...targets]
  const { code, stdout, stderr } = await run(args, { timeoutMs: 400_000 })
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  if (code !== 0) throw new Error(`the batch exited ${code}: ${last} ${stderr}`)
  return JSON.parse(last) as Summary
}

t.test(
  'a node and the database are killed under a batch; every deposit counts once',
  { skip: postgresIsMissing() ?? false },
  async t => {
    t.setTimeout(600_000)
    const place = createWorkplace()
    const database = await startPostgres()
    t.teardown(async () => {
      await place.close()
      await database.stop()
    })
    const store = database.url({ password: 'unseen-secret' })
    const shared = ['--config', join(repository, 'config'), '--store', store, '--partitions', '8']
    const a = await place.start('a', shared)
    const b = await place.start('b', [...shared, '--bootstrap', a.ready.addresses[0] ?? ''])
    const c = await place.start('c', [...shared, '--bootstrap', b.ready.addresses[0] ?? ''])
    const nodes = [a, b, c]
    await settled(a, 3)
    const clients = nodes.map(node => createControlClient({ socketPath: node.ready.control }))
    const clientOf = (node: RealNode): ControlClient => {
      const client = clients[nodes.indexOf(node)]
      if (client === undefined) throw new Error('no such node')
      return client
    }
    const statusOf = (node: RealNode): Promise<NodeStatus> => clientOf(node).status()
    const { store: told } = await statusOf(b)
    t.equal(told.type, 'shared')
    t.match(told.location, `postgres://127.0.0.1:${database.port}/postgres`)

    const open = { type: 'bank_account', command: 'OpenAccount', data: {} }
    const opening = lines(accounts, n => ({ ...open, id: `acc-${n}`, commandId: `open-${n}` }))
    t.equal((await batch([b], opening, join(place.folder, 'open.ndjson'))).summary.accepted, accounts)

    const deposit = (n: number): object => ({
      type: 'bank_account',
      id: `acc-${n % accounts}`,
      command: 'DepositMoney',
      data: { amount: 1 + (n % 7) },
      commandId: `deposit-${n}`,
    })
    const all = lines(deposits, deposit)
    const running = Promise.all(
      nodes.map((node, share) => {
        const others = nodes.filter(other => other !== node)
        const own = all.filter((_, n) => (n % accounts) % 3 === share)
        return batch([node, ...others], own, join(place.folder, `deposits-${share}.ndjson`))
      }),
    )
    await eventually(
      async () => Number(database.sql('select count(*) from glyn.events')) > deposits / 10,
      'deposits are on their way',
    )
    const dead = c.ready.peerId
    await c.kill('SIGKILL')
    const killedAt = performance.now()
    await eventually(async () => {
      const { partitions } = await statusOf(a)
      return partitions.every(({ leader }) => leader !== null && leader !== dead)
    }, 'the partitions of the dead node are led by others')
    t.comment(`its partitions moved within ${Math.round(performance.now() - killedAt)} ms`)
    await database.kill()
    await database.start()
    await c.restart()
    await settled(a, 3)
    const summaries = await running
    t.equal(
      summaries.reduce((sum, { summary }) => sum + summary.accepted, 0),
      deposits,
      'every deposit was accepted',
    )

    const stored = `select count(*), count(distinct (aggregate_id, command_id)), sum((data::json->>'amount')::numeric) from glyn.events where type = 'CustomerDepositedCash'`
    const amount = all.reduce((sum, _, n) => sum + 1 + (n % 7), 0)
    t.equal(database.sql(stored), `${deposits}|${deposits}|${amount}`, 'each is stored once')
    const gaps = `select count(*) from (select sequence, row_number() over (partition by aggregate_type, aggregate_id order by sequence) as place from glyn.events) as s where sequence <> place`
    t.equal(database.sql(gaps), '0', 'sequences have no gaps')
    for (const node of nodes) {
      let counted = 0
      await eventually(async () => {
        const { queries } = await statusOf(node)
        const total = (await clientOf(node).query('balance', 'total', {})) as { readonly amount: number }
        counted = total.amount
        // Without a lag behind what the node knows of, which may not be all yet.
        if (queries.every(({ lag }) => lag === 0) && counted >= amount) return true
        throw new Error(`${counted} of ${amount}: ${JSON.stringify(queries)}`)
      }, 'queries have seen everything')
      t.equal(counted, amount, 'every query on every node counts each once')
    }
    await Promise.all(clients.map(client => client.close()))

    t.equal(await c.kill('SIGTERM'), 0)
    const refused = await run([
      'start',
      '--topic',
      'bank_events',
      '--data-dir',
      c.dataDir,
      '--config',
      join(repository, 'config'),
    ])
    t.equal(refused.code, 1)
    t.match(
      refused.stderr,
      /whose events rest in a shared store; start it with the --store of its other nodes/,
    )
    const alone = [
      'start',
      '--topic',
      'bank_events',
      '--data-dir',
      join(place.folder, 'x'),
      '--store',
      store,
      '--scope',
      'other',
    ]
    const mismatched = await run(alone)
    t.match(mismatched.stderr, /belongs to scope default with 8 partitions/)
    for (const node of nodes)
      t.notMatch(
        `${node.log()}${refused.stderr}${mismatched.stderr}`,
        /unseen-secret/,
        'the password is nowhere',
      )
    for (const node of [a, b]) t.equal(await node.kill('SIGTERM'), 0, 'SIGTERM ends a node with 0')
  },
)
