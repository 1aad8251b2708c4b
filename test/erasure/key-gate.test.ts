// Voters change only when the keys of their events are where the events will be.
import t from 'tap'
import type { Clock } from '../../src/core/clock.ts'
import { createKeyGate } from '../../src/erasure/key-gate.ts'

function setUp(isUsed = true) {
  let now = 0
  /** When the last comparison with a peer began. */
  const compared = new Map<string, number>()
  const clock = { now: () => now } as Clock
  const gate = createKeyGate({
    self: 'a',
    clock,
    isUsed: () => isUsed,
    exchange: { hasAgreedSince: (peerId, since) => (compared.get(peerId) ?? -1) >= since },
  })
  return {
    gate,
    compare: (peerId: string) => void compared.set(peerId, now),
    pass(ms: number) {
      now += ms
    },
  }
}

const voters = { now: ['a', 'b', 'c'], next: ['a', 'b', 'c', 'd'] }

t.test('first the old voters, then the new ones', async t => {
  const { gate, compare, pass } = setUp()
  t.equal(gate.mayChange(1, voters), false, 'it does not lead')
  compare('b')
  pass(10)
  gate.roleChanged(1, true)
  t.equal(gate.mayChange(1, voters), false, 'what was compared before it led does not count')
  pass(10)
  compare('d')
  t.equal(gate.mayChange(1, voters), false, 'one of three old voters')
  compare('b')
  pass(10)
  t.equal(gate.mayChange(1, voters), false, 'a majority of the old ones, but the new ones were asked before')
  pass(10)
  compare('d')
  t.equal(gate.mayChange(1, voters), false, 'two of four new ones')
  compare('c')
  t.equal(gate.mayChange(1, voters), true, 'three of four')
  t.equal(gate.mayChange(2, voters), false, 'each partition for itself')
  gate.roleChanged(1, false)
  gate.roleChanged(1, true)
  t.equal(gate.mayChange(1, voters), true, 'the next leadership begins now')
  pass(1)
  gate.roleChanged(1, false)
  gate.roleChanged(1, true)
  t.equal(gate.mayChange(1, voters), false, 'or later')
})

t.test('alone, or without subjects, nothing is held up', async t => {
  const { gate } = setUp()
  gate.roleChanged(1, true)
  t.equal(gate.mayChange(1, { now: ['a', 'b'], next: ['a'] }), false)
  t.equal(gate.mayChange(1, { now: ['a'], next: ['a'] }), true)
  t.equal(setUp(false).gate.mayChange(1, voters), true)
})
