// One node, used as a newcomer uses it: commands, reads, mistakes, and a kill.
import { join } from 'node:path'
import t from 'tap'
import { ask, createWorkplace, eventually, type RealNode, repository, run, runJson } from './real-node.ts'

t.setTimeout(600_000)
const place = createWorkplace()
t.teardown(place.close)
const config = ['--config', join(repository, 'config')]
let node: RealNode
const at = (): string[] => ['--data-dir', node.dataDir]

t.before(async () => {
  node = await place.start('alone', config)
})

t.test('open, deposit, withdraw, and read it back in three ways', async t => {
  const send = (...args: string[]) =>
    runJson<Accepted>(['send-command', 'bank_account', 'acc-1', ...args, ...at()])
  const opened = await send('OpenAccount')
  t.match(opened, {
    type: 'accepted',
    sequence: 1,
    replicas: 1,
    replayed: false,
    aggregate: { type: 'bank_account', id: 'acc-1' },
  })
  t.match(await send('DepositMoney', 'amount:=100', '--metadata', 'user=ann'), { sequence: 2 })
  t.match(await send('WithDrawMoney', '--data', '{"amount":30}'), { sequence: 3 })
  t.match(await runJson(['state', 'bank_account', 'acc-1', ...at()]), {
    sequence: 3,
    state: { status: 'open', balance: 70 },
  })
  const events = await run(['events', 'bank_account', 'acc-1', '--json', ...at()])
  const lines = events.stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string; metadata: object })
  t.same(
    lines.map(line => line.type),
    ['AccountOpened', 'CustomerDepositedCash', 'CustomerWithdrewCash'],
  )
  t.same(lines[1]?.metadata, { user: 'ann' })
  const last = await send('DepositMoney', 'amount:=1')
  const answer = await runJson(['query', 'balance', 'get', 'id=acc-1', '--after', last.token, ...at()])
  t.match(answer, { id: 'acc-1', amount: 71 }, 'the query has seen the command whose token it was given')
})

t.test('a rejection by the domain exits 3 with its code', async t => {
  const { code, stdout } = await run([
    'send-command',
    'bank_account',
    'acc-1',
    'WithDrawMoney',
    'amount:=1000',
    '--json',
    ...at(),
  ])
  t.equal(code, 3)
  t.match(JSON.parse(stdout), { type: 'rejected', code: 'cant_withdraw_more_than_current_balance' })
})

t.test('mistakes exit 2 and name what is allowed', async t => {
  const mistakes: [string[], RegExp][] = [
    [['bank_account', 'acc-1', 'DepositMony', 'amount:=1'], /DepositMoney/],
    [['bank_acount', 'acc-1', 'DepositMoney', 'amount:=1'], /bank_account/],
    [['bank_account', 'acc-1', 'DepositMoney', 'amount:=one'], /amount:=.*one/],
    [['bank_account', 'acc-1', 'DepositMoney', '--data', '{"amount":'], /JSON/],
    [['bank_account', 'acc-1', 'DepositMoney', 'amount=1'], /amount/],
  ]
  for (const [args, expected] of mistakes) {
    const { code, stderr } = await run(['send-command', ...args, ...at()])
    t.equal(code, 2, args.join(' '))
    t.match(stderr, expected, stderr)
  }
  const query = await run(['query', 'balanse', 'get', ...at()])
  t.equal(query.code, 2)
  t.match(query.stderr, /balance/)
})

t.test('the same id sent again returns the first outcome', async t => {
  const args = ['send-command', 'bank_account', 'acc-1', 'DepositMoney', 'amount:=5', '--id', 'once', ...at()]
  const first = await runJson<Accepted>(args)
  const second = await runJson<Accepted>(args)
  t.equal(first.replayed, false)
  t.equal(second.replayed, true)
  t.same(second.events, first.events)
})

t.test('a second process on the same directory is refused, and the first goes on', async t => {
  const { code, stderr } = await run(['start', '--topic', 'bank_events', ...config, ...at()])
  t.equal(code, 1)
  t.match(stderr, /in use by the process \d+/)
  t.match(await runJson(['status', ...at()]), { problems: [] })
})

t.test('kill -9, start again, everything is there', async t => {
  const before = await runJson<{ state: object; sequence: number }>([
    'state',
    'bank_account',
    'acc-1',
    ...at(),
  ])
  await node.kill('SIGKILL')
  await node.restart()
  const after = await runJson<{ state: object; sequence: number }>([
    'state',
    'bank_account',
    'acc-1',
    ...at(),
  ])
  t.same(after.state, before.state)
  t.equal(after.sequence, before.sequence)
  // The query may have been behind when the node was killed.
  await eventually(async () => {
    const { queries } = await ask<{ queries: { lag: number }[] }>(['status', ...at()])
    return queries.every(({ lag }) => lag === 0)
  }, 'the query has seen everything')
  const total = await runJson<{ amount: number }>(['query', 'balance', 'total', ...at()])
  t.equal(total.amount, (before.state as { balance: number }).balance, 'the query counted every event once')
})

t.test('a directory of another topic is refused with a word on what to do', async t => {
  t.equal(await node.kill('SIGTERM'), 0)
  const { code, stderr } = await run(['start', '--topic', 'other', ...config, ...at()])
  t.equal(code, 1)
  t.match(stderr, /--topic bank_events/)
})

interface Accepted {
  readonly type: string
  readonly sequence: number
  readonly token: string
  readonly replayed: boolean
  readonly events: readonly object[]
}
