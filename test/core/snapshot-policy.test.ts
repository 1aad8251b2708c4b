// When a snapshot is due.
import t from 'tap'
import { isSnapshotDue } from '../../src/core/snapshot-policy.ts'

t.test('a snapshot is due when a multiple of the frequency is crossed', async t => {
  const table: readonly (readonly [every: number | undefined, from: number, to: number, due: boolean])[] = [
    [undefined, 0, 1000, false],
    [1, 0, 1, true],
    [1, 1, 1, false],
    [100, 0, 99, false],
    [100, 0, 100, true],
    [100, 99, 100, true],
    [100, 100, 101, false],
    [100, 100, 199, false],
    [100, 98, 103, true],
    [100, 150, 450, true],
  ]
  for (const [every, from, to, due] of table) {
    t.equal(isSnapshotDue(every, { from, to }), due, `every ${every}, from ${from} to ${to}`)
  }
})
