// Metadata travel with a command into each of its events.
import t from 'tap'
import { bankAccount, deposit, eventually, open, startBank } from './bank-node.ts'

t.test(
  'metadata of the command are those of its events, in the response, in history and for queries',
  async t => {
    const seen: unknown[] = []
    const node = await startBank(t, {
      queries: [
        function audit(_id, events) {
          for (const { metadata } of events) seen.push(metadata)
        },
      ],
    })
    const metadata = { user: 'ann', trace: 'trace-1' }
    const outcome = await node.execute(bankAccount, 'acc-1', open, { metadata })
    if (outcome.type === 'rejected') throw new Error(outcome.code)
    t.strictSame(outcome.events[0]?.metadata, metadata)
    await node.execute(bankAccount, 'acc-1', deposit(5))
    const events = await node.loadEvents(bankAccount, 'acc-1')
    t.strictSame(
      events.map(event => event.metadata),
      [metadata, {}],
    )
    await eventually(() => seen.length === 2, 'the query has seen both')
    t.strictSame(seen, [metadata, {}])
  },
)

t.test('metadata that are no texts by name are refused', async t => {
  const node = await startBank(t)
  const metadata = { attempt: 1 } as unknown as Record<string, string>
  await t.rejects(node.execute(bankAccount, 'acc-1', open, { metadata }), {
    code: 'INVALID_ARGUMENT',
    message: /metadata attempt is 1/,
  })
})
