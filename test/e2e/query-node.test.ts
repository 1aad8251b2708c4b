// A node without replicas: takes commands for others, answers queries, and goes on where it was after a kill.
import { join } from 'node:path'
import t from 'tap'
import { ask, createWorkplace, eventually, repository, runJson } from './real-node.ts'

t.setTimeout(600_000)

interface Status {
  readonly queries: readonly { readonly name: string; readonly lag: number }[]
  readonly partitions: readonly { readonly leader: string | null }[]
  readonly problems: readonly string[]
}

t.test('a query node catches up without a replica, and counts nothing twice over a kill', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const config = ['--config', join(repository, 'config')]
  const holder = await place.start('holder', config)
  const send = (node: { dataDir: string }, ...args: string[]) =>
    runJson<{ token: string }>(['send-command', 'bank_account', ...args, '--data-dir', node.dataDir])
  for (const id of ['a', 'b', 'c']) {
    await send(holder, id, 'OpenAccount')
    await send(holder, id, 'DepositMoney', 'amount:=10')
  }
  const reader = await place.start('reader', [
    ...config,
    '--role',
    'query',
    '--bootstrap',
    holder.ready.addresses[0] ?? '',
  ])
  const total = () =>
    ask<{ accounts: number; amount: number }>(['query', 'balance', 'total', '--data-dir', reader.dataDir])
  await eventually(async () => (await total()).amount === 30, 'what was there before is read')
  const paid = await send(reader, 'a', 'DepositMoney', 'amount:=5')
  const after = ['--after', paid.token, '--data-dir', reader.dataDir]
  t.match(
    await runJson(['query', 'balance', 'get', 'id=a', ...after]),
    { amount: 15 },
    'it reads what was sent through it',
  )

  await reader.kill('SIGKILL')
  await send(holder, 'b', 'DepositMoney', 'amount:=7')
  await reader.restart()
  await eventually(async () => (await total()).amount === 42, 'what it missed is read, and nothing twice')
  await eventually(async () => {
    const status = await ask<Status>(['status', '--data-dir', reader.dataDir])
    return (
      status.problems.length === 0 &&
      status.partitions.every(partition => partition.leader === holder.ready.peerId) &&
      status.queries.every(query => query.lag === 0)
    )
  }, 'it knows every leader and lags behind nobody')
})
