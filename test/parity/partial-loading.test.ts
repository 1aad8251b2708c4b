// Events of an aggregate from a sequence on (`load_events_from`).
import t from 'tap'
import { bankAccount, deposit, open, startBank } from './bank-node.ts'

t.test('events from a sequence on, that one included, and at most so many', async t => {
  const node = await startBank(t)
  await node.execute(bankAccount, 'acc-1', open)
  for (const amount of [1, 2, 3, 4]) await node.execute(bankAccount, 'acc-1', deposit(amount))
  const sequences = async (options: { fromSequence?: number; limit?: number }): Promise<number[]> =>
    (await node.loadEvents(bankAccount, 'acc-1', options)).map(({ sequence }) => sequence)
  t.strictSame(await sequences({}), [1, 2, 3, 4, 5])
  t.strictSame(await sequences({ fromSequence: 2 }), [2, 3, 4, 5])
  t.strictSame(await sequences({ fromSequence: 2, limit: 2 }), [2, 3])
  t.strictSame(await sequences({ fromSequence: 6 }), [])
  for (const options of [{ fromSequence: 0 }, { fromSequence: -1 }, { limit: 0 }])
    await t.rejects(sequences(options), { code: 'NON_POSITIVE_ARGUMENT' })
})
