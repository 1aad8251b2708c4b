// Dead letters in the simulated cluster: queries that fail at some events, now and then or always, park them; whatever crashes,
// each event is handled once or parked, and when what is parked is handled again, once is what remains.
import t from 'tap'
import { defineQuery } from '../../src/query/define-query.ts'
import { counter, totals } from '../../src/testing/default-setup.ts'
import { simulate } from '../../src/testing/simulate.ts'
import type { SimulatedClient } from '../../src/testing/simulator/client.ts'

const seeds = [1, 2, 3, 4, 5, 6]
t.setTimeout(300_000)

/** Answers are not asked for: what is parked is missing in them. */
async function add({ dice, execute }: SimulatedClient): Promise<void> {
  const type = dice.chance(0.2) ? 'AddTwice' : 'Add'
  await execute(
    'counter',
    dice.pick(['a', 'b', 'c', 'd']),
    { type, data: { by: dice.integer(0, 9) } },
    { attempts: 3 },
  )
}

for (const afterParked of ['hold', 'handle'] as const) {
  t.test(`afterParked: ${afterParked}`, async t => {
    let parked = 0
    for (const seed of seeds) {
      const parking = defineQuery<{ type: 'Added'; data: { by: number } }>({
        ...totals,
        onError: 'park',
        attempts: 1,
        afterParked,
        handle(id, events, context) {
          totals.handle(id, events as never, context)
        },
      })
      const lines: string[] = []
      const { ok, violation, story } = await simulate({
        seed,
        aggregates: [counter],
        queries: [parking],
        workload: add,
        seconds: 4,
        faults: ['plugin', 'crash', 'power-failure', 'restart'],
        onLine: line => void lines.push(line),
      })
      for (const line of lines) parked += Number(/handles (\d+) parked entries/.exec(line)?.[1] ?? 0)
      t.ok(ok, `seed ${seed}: ${violation}\n${story.slice(-20).join('\n')}`)
    }
    t.ok(parked > 20, `${parked} entries were parked`)
  })
}
