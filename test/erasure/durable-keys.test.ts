// No event is acknowledged before its key is where the event is, and a key goes where it is needed.
import t, { type Test } from 'tap'
import { type AnyAggregate, defineAggregate } from '../../src/core/aggregate.ts'
import type { Command } from '../../src/core/command.ts'
import type { DomainEvent } from '../../src/core/event.ts'
import { referenceOf } from '../../src/store/event-cipher.ts'
import type { KeyStore } from '../../src/store/key-store.ts'
import { createMemoryKeyStore } from '../../src/store/memory/memory-key-store.ts'
import { createMemoryCluster, eventually, type MemoryNode } from '../node/memory-cluster.ts'
import { settle } from '../node/settle.ts'
import { idIn, leaderOf, required } from '../node/steering.ts'

const counter: AnyAggregate = defineAggregate<
  { total: number },
  Command,
  DomainEvent<'Added', { by: number }>
>({
  type: 'counter',
  emptyState: { total: 0 },
  subject: (_event, id) => id,
  handle: (_state, command) => ({ type: 'Added', data: command.data as { by: number } }),
  apply: (state, event) => ({ total: state.total + event.data.by }),
})

interface HeldKeys extends KeyStore {
  /** What comes is not written until it is let go: as on a disk that stands still. */
  hold(): void
  letGo(): void
}

function holdableKeys(): HeldKeys {
  const keys = createMemoryKeyStore()
  let gate: Promise<void> = Promise.resolve()
  let open = (): void => {}
  return {
    ...keys,
    async join(known) {
      if (known.keys.length > 0) await gate
      return await keys.join(known)
    },
    hold() {
      gate = new Promise(resolve => {
        open = resolve
      })
    },
    letGo: () => open(),
  }
}

interface Place {
  readonly node: MemoryNode
  readonly keys: HeldKeys
}

async function startThree(t: Test): Promise<readonly Place[]> {
  const cluster = createMemoryCluster({ partitions: 2 })
  t.teardown(() => cluster.stop())
  const places: Place[] = []
  for (const name of ['a', 'b', 'c']) {
    const keys = holdableKeys()
    places.push({ keys, node: await cluster.start(name, { keys, aggregates: [counter] }) })
    t.teardown(() => keys.letGo())
  }
  await settle(cluster)
  return places
}

function sidesOf(places: readonly Place[]): { readonly leader: Place; readonly others: [Place, Place] } {
  const node = required(leaderOf({ nodes: places.map(place => place.node) }, 1))
  const leader = required(places.find(place => place.node === node))
  return { leader, others: places.filter(place => place !== leader) as [Place, Place] }
}

const add = { type: 'Add', data: { by: 2 } }

t.test(
  'a key that is on the leader only holds its event up: nothing is stored, nothing acknowledged',
  async t => {
    const { leader, others } = sidesOf(await startThree(t))
    const id = idIn(1, 2)
    for (const { keys } of others) keys.hold()
    await t.rejects(leader.node.execute(id, add, { commandId: 'one', timeoutMs: 3000 }), {
      code: 'UNAVAILABLE',
    })
    t.same(leader.node.store.aggregates({ type: 'counter', limit: 10 }), [])
    others[0].keys.letGo()
    const outcome = await leader.node.execute(id, add, { commandId: 'one' })
    t.match(outcome, { type: 'accepted', sequence: 1 }, 'a majority is enough')
    const reference = referenceOf('default', id)
    t.ok(others[0].keys.keysOf(reference).length > 0)
    t.same(others[1].keys.keysOf(reference), [], 'the third has none yet')
  },
)

t.test('a leader that has not got the key yet fetches it', async t => {
  const { leader, others } = sidesOf(await startThree(t))
  const id = idIn(1, 2)
  const [second, third] = others
  third.keys.hold()
  await leader.node.execute(id, add)
  const reference = referenceOf('default', id)
  t.same(third.keys.keysOf(reference), [])
  await eventually(
    () => third.node.parts.engine.status(1)?.commitIndex === leader.node.parts.engine.status(1)?.commitIndex,
    'the third has the event',
  )
  // Asked until it leads: a transfer is refused while its last acknowledgement is on its way.
  await eventually(() => {
    leader.node.parts.engine.group(1)?.transferLeadership(third.node.parts.engine.id)
    leader.node.parts.engine.touch(1)
    return third.node.parts.engine.status(1)?.canServe === true
  }, 'the third leads')
  const loading = third.node.load(id)
  leader.node.crash()
  third.keys.letGo()
  t.match(await loading, { state: { total: 2 }, sequence: 1 })
  t.match(await third.node.execute(id, add), { type: 'accepted', sequence: 2 })
  t.match(await second.node.load(id), { state: { total: 4 } })
})

t.test('a command that comes while its subject is forgotten elsewhere fails, and leaves no key', async t => {
  const { leader, others } = sidesOf(await startThree(t))
  const id = idIn(1, 2)
  const reference = referenceOf('default', id)
  // The leader has not heard of it.
  for (const { keys } of others) await keys.join({ keys: [], forgotten: [reference] })
  await t.rejects(leader.node.execute(id, add), { code: 'SUBJECT_FORGOTTEN', retryable: false })
  t.ok(leader.keys.isForgotten(reference), 'now it has')
  t.ok(leader.keys.keysOf(reference).every(({ key }) => key === null))
  t.same(leader.node.store.aggregates({ type: 'counter', limit: 10 }), [])
})

t.test('many at the same time: one key for each, and each is counted once', async t => {
  const { leader, others } = sidesOf(await startThree(t))
  const ids = Array.from({ length: 40 }, (_, n) => `counter-${n}`)
  await Promise.all([leader, ...others].flatMap(({ node }) => ids.map(id => node.execute(id, add))))
  for (const id of ids) {
    t.match(await leader.node.load(id), { state: { total: 6 }, sequence: 3 })
    const known = () => leader.keys.keysOf(referenceOf('default', id)).length
    // Where another node leads, a majority without this one is enough.
    await eventually(() => known() > 0, `a key for ${id}`)
    t.equal(known(), 1)
  }
  // All at once, while commands go on.
  const forgetting = leader.node.parts.erasure.forget('counter-3', { timeoutMs: 60_000 })
  const late = await Promise.allSettled(
    others.flatMap(({ node }) => Array.from({ length: 20 }, () => node.execute('counter-3', add))),
  )
  t.match(await forgetting, { complete: true })
  const codes = late.flatMap(({ status, ...rest }) =>
    status === 'rejected' ? [(rest as { reason: { code: string } }).reason.code] : [],
  )
  t.ok(
    codes.every(code => code === 'SUBJECT_FORGOTTEN'),
    codes.join(', '),
  )
  t.match(await leader.node.load('counter-3'), { state: { total: 0 } }, 'nobody knows anything any more')
})
