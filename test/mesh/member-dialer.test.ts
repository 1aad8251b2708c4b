// When members are dialled, on a clock that the test moves.
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createMemberDialer } from '../../src/mesh/libp2p/member-dialer.ts'
import { createManualClock } from './manual-clock.ts'

function setting(ownId: string) {
  const clock = createManualClock()
  const up = new Set<string>()
  const dials: { readonly at: number; readonly address: string }[] = []
  const dialer = createMemberDialer({
    peerId: ownId,
    clock,
    random: () => 0.5,
    log: silentLog,
    isUp: peerId => up.has(peerId),
    isAllowed: () => true,
    hasConnection: peerId => up.has(peerId),
    dial: async address => {
      dials.push({ at: clock.now(), address })
      throw new Error('nobody is there')
    },
    greet: async () => {},
    hangUp: () => {},
  })
  t.teardown(() => dialer.stop())
  return { clock, up, dials, dialer }
}

const address = '/ip4/127.0.0.1/tcp/1'

t.test('a node that starts does not wait until a member that lost it tries again', async t => {
  const { clock, dials, dialer } = setting('z')
  dialer.start()
  await clock.advance(500)
  const startedAt = clock.now()
  dialer.setMembers([{ peerId: 'a', addresses: [address] }])
  await clock.advance(150)
  t.equal(dials.length, 1, 'it is dialled, although the smaller peer id dials first')
  t.ok((dials[0]?.at ?? 0) - startedAt >= 50, 'and had the time to do so, should it start as well')
})

t.test('of two that lose each other, the larger peer id lets the smaller one dial first', async t => {
  for (const { ownId, waits } of [
    { ownId: 'z', waits: true },
    { ownId: 'A', waits: false },
  ]) {
    const { clock, up, dials, dialer } = setting(ownId)
    up.add('a')
    dialer.start()
    dialer.setMembers([{ peerId: 'a', addresses: [address] }])
    await clock.advance(10_000)
    up.delete('a')
    dialer.onPeerChange('a', false)
    await clock.advance(900)
    t.equal(dials.length === 0, waits, `${ownId} ${waits ? 'waits' : 'dials at once'}`)
    await clock.advance(1000)
    t.ok(dials.length > 0, `${ownId} has dialled`)
  }
})
