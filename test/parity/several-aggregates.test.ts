// Several aggregates: of one type and of several, side by side.
import t from 'tap'
import { type Command, defineAggregate } from '../../src/index.ts'
import { bankAccount, countByAggregate, deposit, eventually, open, recorder, startBank } from './bank-node.ts'

t.test('many of one type have histories of their own', async t => {
  const { calls, query } = recorder()
  const node = await startBank(t, { queries: [query] })
  const ids = Array.from({ length: 20 }, (_, n) => `acc-${n}`)
  await Promise.all(ids.map(id => node.execute(bankAccount, id, open)))
  await Promise.all(ids.map((id, n) => node.execute(bankAccount, id, deposit(n + 1))))
  for (const [n, id] of ids.entries())
    t.match(await node.loadAggregate(bankAccount, id), { sequence: 2, state: { balance: n + 1 } })
  const wanted = Object.fromEntries(ids.map(id => [id, 2]))
  await eventually(() => Object.keys(countByAggregate(calls)).length === ids.length, 'all were told')
  await eventually(() => calls.reduce((sum, [, events]) => sum + events, 0) === 40, 'of every event')
  t.strictSame(countByAggregate(calls), wanted)
})

t.test('two types may have the same ids', async t => {
  const note = defineAggregate({
    type: 'note',
    emptyState: { lines: 0 },
    handle: (_state, command: Command<'Write', { text: string }>) => ({
      type: 'Written',
      data: command.data,
    }),
    apply: state => ({ lines: state.lines + 1 }),
  })
  const node = await startBank(t, { aggregates: [note] })
  await node.execute(bankAccount, 'x', open)
  await node.execute(note, 'x', { type: 'Write', data: { text: 'hello' } })
  t.match(await node.loadAggregate(bankAccount, 'x'), { sequence: 1, state: { status: 'open' } })
  t.match(await node.loadAggregate(note, 'x'), { sequence: 1, state: { lines: 1 } })
  await t.rejects(node.execute('no_such_type', 'x', open), { code: 'UNKNOWN_AGGREGATE_TYPE' })
})
