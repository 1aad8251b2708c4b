// Handlers and processes in a world where everything breaks: the invariants of the simulator hold, timers fire in virtual
// time, and an idle log stays as it is.
import t from 'tap'
import type { Command } from '../../src/core/command.ts'
import { after, cancel, defineAggregate, defineHandler, defineProcess, send } from '../../src/index.ts'
import { simulate } from '../../src/testing/index.ts'

t.test('every event is told once, every command has one outcome, every timer fires once', async t => {
  let reacted = 0
  let fired = 0
  for (let seed = 1; seed <= 4; seed += 1) {
    const report = await simulate({ seed, reacts: true })
    reacted += report.reacted
    fired += report.timersFired
    if (!report.ok) t.fail(`seed ${seed}: ${report.violation}`, { story: report.story })
  }
  t.ok(reacted > 100, `${reacted} commands of processes: a world without them proves nothing`)
  t.ok(fired > 10, `${fired} timers`)
})

const order = defineAggregate<string, Command, { type: string; data: unknown }>({
  type: 'order',
  emptyState: 'none',
  handle: (state, { type }) => (state === type ? [] : { type, data: {} }),
  apply: (_state, { type }) => type,
})

/** `Place`, and `Pay` within 6 s, or `Expire`. */
const payment = defineProcess({
  name: 'payment',
  correlate: ({ aggregate }) => aggregate.id,
  emptyState: null,
  react(_state, { type, aggregate }) {
    if (type === 'Place')
      return [after('6s', send('order', aggregate.id, { type: 'Expire' }), { name: 'due' })]
    return type === 'Pay' ? [cancel('due')] : undefined
  },
})

t.test('what is not paid in time expires, also when everything starts again meanwhile', async t => {
  const paid = new Set<string>()
  let orders = 0
  const report = await simulate({
    seed: 5,
    aggregates: [order],
    processes: [payment],
    seconds: 10,
    faults: ['crash', 'restart', 'power-failure'],
    async workload(client) {
      orders += 1
      const id = `${orders}`
      await client.execute('order', id, { type: 'Place', data: {} })
      if (client.dice.chance(0.5)) {
        paid.add(id)
        await client.execute('order', id, { type: 'Pay', data: {} })
      }
      await client.pause(500)
    },
    invariants: [
      {
        name: 'in the end every order is paid or has expired',
        check({ states, isOver }) {
          const open = [...states<string>('order')].filter(([, state]) => state === 'Place')
          return isOver && open.length > 0 ? `${open.length} are open` : null
        },
      },
    ],
  })
  t.equal(report.violation, null)
  t.ok(paid.size > 0 && orders > paid.size)
  t.ok(
    report.timersFired > 0 && report.timersFired < orders,
    `${report.timersFired} timers, ${orders} orders`,
  )
})

t.test('what nobody uses does not grow: a checkpoint leads to no other', async t => {
  const seen: string[] = []
  let isFirst = true
  const run = (seconds: number) => {
    isFirst = true
    seen.length = 0
    return simulate({
      seed: 3,
      aggregates: [order],
      handlers: [
        defineHandler({ name: 'sees', startFrom: 'beginning', handle: ({ id }) => void seen.push(id) }),
      ],
      processes: [payment],
      nodes: 3,
      partitions: 1,
      clients: 1,
      seconds,
      faults: [],
      async workload(client) {
        if (isFirst) await client.execute('order', 'a', { type: 'Pay', data: {} })
        isFirst = false
        await client.pause(1000)
      },
    })
  }
  const short = await run(10)
  t.strictSame(seen, ['order/a/1'])
  const long = await run(60)
  t.equal(short.violation, null)
  t.equal(long.committed, short.committed, 'entries after 60 s as after 10')
})
