// The promise in one test: commands through all nodes while one after the other is killed, and nothing acknowledged is lost.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createControlClient } from '../../src/http/control-client.ts'
import { ask, createWorkplace, eventually, type RealNode, repository, run, settled } from './real-node.ts'

const accounts = 500
const deposits = Number(process.env['GLYN_E2E_DEPOSITS'] ?? 20_000)

interface Summary {
  readonly summary: { readonly accepted: number; readonly rejected: number; readonly failed: number }
}

t.test(
  'a batch through three nodes, killed one after the other, ends with every command accepted once',
  async t => {
    t.setTimeout(600_000)
    const place = createWorkplace()
    t.teardown(place.close)
    const config = ['--config', join(repository, 'config')]
    const a = await place.start('a', config)
    const b = await place.start('b', [...config, '--bootstrap', a.ready.addresses[0] ?? ''])
    const c = await place.start('c', [...config, '--bootstrap', b.ready.addresses[0] ?? ''])
    const nodes = [a, b, c]
    await settled(a, 3)

    const opening = lines(accounts, n => ({
      type: 'bank_account',
      id: account(n),
      command: 'OpenAccount',
      data: {},
    }))
    const opened = await batch(a, opening, join(place.folder, 'open.ndjson'))
    t.equal(opened.summary.accepted, accounts, 'every account is open')

    // One batch per node, each account in only one of them, so that the order within an account is the sender's.
    const batches = nodes.map((node, share) => {
      const own = lines(deposits, n => ({
        type: 'bank_account',
        id: account(n),
        command: 'DepositMoney',
        data: { amount: 1 + (n % 7) },
        commandId: `deposit-${n}`,
      })).filter((_, n) => (n % accounts) % 3 === share)
      return batch(node, own, join(place.folder, `deposits-${share}.ndjson`), nodes)
    })
    const all = Promise.all(batches)

    for (const node of nodes) {
      await node.kill('SIGKILL')
      await node.restart()
      // The next one is killed when this one votes again: two of three must live for commands to go on.
      await settled(node, 3)
    }
    const summaries = await all
    t.equal(sum(summaries.map(({ summary }) => summary.accepted)), deposits, 'every deposit was accepted')
    t.equal(
      sum(summaries.map(({ summary }) => summary.rejected + summary.failed)),
      0,
      'none was rejected or failed',
    )

    const expected = new Map<string, number>()
    for (let n = 0; n < deposits; n += 1)
      expected.set(account(n), (expected.get(account(n)) ?? 0) + 1 + (n % 7))
    const wanted = sum([...expected.values()])
    for (const node of nodes) {
      const at = ['--data-dir', node.dataDir]
      let amount = 0
      await eventually(async () => {
        const status = await ask<{ queries: { name: string; lag: number }[] }>(['status', ...at])
        const total = await ask<{ amount: number }>(['query', 'balance', 'total', ...at])
        amount = total.amount
        // Without a lag behind what the node knows of, which may not be all yet.
        return status.queries.every(query => query.lag === 0) && amount >= wanted
      }, 'queries have seen everything')
      t.equal(amount, wanted, 'the sum of all balances is the sum of all deposits')
    }
    for (const node of nodes) {
      const client = createControlClient({ socketPath: node.ready.control })
      const wrong: string[] = []
      for (const [id, amount] of expected) {
        const { state } = await client.loadAggregate('bank_account', id)
        const answer = (await client.query('balance', 'get', { id })) as { amount: number }
        const { balance } = state as { balance: number }
        if (balance !== amount || answer.amount !== amount)
          wrong.push(`${id}: ${amount} sent, ${balance} held, ${answer.amount} read`)
      }
      t.same(wrong, [], 'state and query agree with the acknowledged deposits, account by account')
      await client.close()
    }
    for (const node of nodes) {
      t.notMatch(node.log(), /"level":(50|60)/, 'no node logged an error')
      t.equal(await node.kill('SIGTERM'), 0, 'SIGTERM ends a node with 0')
    }
  },
)

const account = (n: number): string => `acc-${n % accounts}`
const lines = (count: number, line: (n: number) => object): string[] =>
  Array.from({ length: count }, (_, n) => JSON.stringify(line(n)))
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

async function batch(
  node: RealNode,
  commands: readonly string[],
  file: string,
  others: readonly RealNode[] = [node],
): Promise<Summary> {
  writeFileSync(file, commands.join('\n'))
  const targets = [node, ...others.filter(other => other !== node)].flatMap(({ dataDir }) => [
    '--data-dir',
    dataDir,
  ])
  const { code, stdout, stderr } = await run(['send-command', '--batch', file, '--json', ...targets], {
    timeoutMs: 400_000,
  })
  const last = stdout.trimEnd().split('\n').at(-1) ?? ''
  if (code !== 0) throw new Error(`the batch exited ${code}: ${last} ${stderr}`)
  return JSON.parse(last) as Summary
}
