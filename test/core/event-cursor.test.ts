// A stream that is cut and resumed again and again, each time with another partition first, tells each event once.
import t from 'tap'
import type { EventEnvelope } from '../../src/core/event.ts'
import { createEventCursor, isPastOpenEntries } from '../../src/core/event-cursor.ts'
import { parseToken } from '../../src/core/token.ts'
import { createDice } from '../../src/testing/simulator/seeded-random.ts'

/** Partition → how many events its entries 1, 2, … have. */
const histories = new Map([
  [1, [3, 1, 4]],
  [2, [5, 2]],
  [3, [1, 1, 6]],
])

function entriesAfter(token: string, order: readonly number[]): EventEnvelope[][] {
  const positions = parseToken(token)
  return order.flatMap(partition =>
    (histories.get(partition) ?? []).flatMap((count, place) => {
      const index = place + 1
      if (index <= (positions.get(partition) ?? 0)) return []
      return [
        Array.from({ length: count }, (_, n) => ({
          id: `${partition}/${index}/${n}`,
          position: { partition, index },
        })),
      ] as EventEnvelope[][]
    }),
  )
}

t.test('each event is told once, wherever the stream is cut', async t => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const dice = createDice(seed)
    const told: string[] = []
    let place = ''
    for (let cut = 0; cut < 40; cut += 1) {
      const cursor = createEventCursor(place)
      const order = [...histories.keys()].toSorted(() => (dice.chance(0.5) ? 1 : -1))
      let left = dice.integer(1, 6)
      for (const event of entriesAfter(cursor.token, order).flat()) {
        const next = cursor.advance(event)
        if (next === null) continue
        told.push(event.id)
        place = next
        left -= 1
        if (left === 0) break
      }
    }
    const all = entriesAfter('', [1, 2, 3]).flat()
    t.strictSame(told.toSorted(), all.map(({ id }) => id).toSorted(), `seed ${seed}`)
  }
})

t.test('a token that is past all that is open says all that the cursor does', async t => {
  t.ok(isPastOpenEntries('1:1', '1:1'))
  t.ok(isPastOpenEntries('1:2,2:3', '1:1+1:2:1+2:3:1'))
  t.notOk(isPastOpenEntries('1:2,2:2', '1:1+1:2:1+2:3:1'))
})
