// A subscription: where it begins, that it can be resumed after any event, and that a slow reader costs no memory.
import t from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import type { EventEnvelope } from '../../src/core/event.ts'
import type { StoredEvent } from '../../src/core/record.ts'
import { type SubscriptionInit, subscribeToFeed } from '../../src/node/subscription.ts'
import type { Feed } from '../../src/pubsub/feed.ts'
import { createManualClock } from '../mesh/manual-clock.ts'
import { gather } from '../support/gather.ts'
import { countHeld } from '../support/let-go.ts'

const pageEvents = 500

/** A feed whose partitions hold as many entries as `grow` says, each of `eventsPerEntry` events. */
function createFeed(eventsPerEntry = 1) {
  const heads = new Map<number, number>([
    [1, 0],
    [2, 0],
  ])
  const listeners = new Set<() => void>()
  const reads: number[] = []
  const eventAt = (partition: number, index: number, offset: number): StoredEvent => ({
    partition,
    index,
    offset,
    aggregateType: index % 2 === 0 ? 'even' : 'odd',
    aggregateId: 'a',
    sequence: (index - 1) * eventsPerEntry + offset + 1,
    type: offset === 0 ? 'First' : 'Further',
    version: 1,
    data: '{}',
    metadata: '{}',
    commandId: `c-${partition}-${index}`,
    timeMs: 0,
  })
  const feed: Pick<Feed, 'heads' | 'onAdvance' | 'read'> = {
    heads: () => new Map(heads),
    onAdvance(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async read(partition, { afterIndex, limit }) {
      const throughIndex = Math.min(heads.get(partition) ?? 0, afterIndex + Math.ceil(limit / eventsPerEntry))
      const events: StoredEvent[] = []
      for (let index = afterIndex + 1; index <= throughIndex; index += 1)
        for (let offset = 0; offset < eventsPerEntry; offset += 1)
          events.push(eventAt(partition, index, offset))
      reads.push(events.length)
      return { events, throughIndex }
    },
  }
  return {
    feed: feed as Feed,
    reads,
    listeners,
    grow(partition: number, index: number): void {
      heads.set(partition, index)
      for (const listener of [...listeners]) listener()
    },
    subscribe: (options: Partial<SubscriptionInit> = {}) =>
      subscribeToFeed(feed as Feed, {
        from: 'start',
        partitions: [1, 2],
        clock: createManualClock(),
        ...options,
      }),
  }
}

const places = (events: readonly EventEnvelope[]): string =>
  events.map(({ position, sequence }) => `${position.partition}:${position.index}#${sequence}`).join(' ')

t.test(
  'while a reader does nothing, 100 000 events cost one page; then it gets them all, in order',
  async t => {
    const { subscribe, grow, reads } = createFeed()
    grow(1, 1)
    const events = subscribe()[Symbol.asyncIterator]()
    t.match(await events.next(), { value: { position: { partition: 1, index: 1 } } })
    for (let index = 2; index <= 100_001; index += 1) grow(1, index)
    await new Promise(resolve => setImmediate(resolve))
    t.strictSame(reads, [1], 'nothing is read ahead')
    t.match(await events.next(), { value: { position: { index: 2 } } })
    t.equal(reads.length, 2)
    for (let index = 3; index <= 100_001; index += 1) {
      const { value } = await events.next()
      if (value?.position.index !== index) throw new Error(`${value?.position.index} in place of ${index}`)
    }
    t.ok(reads.every(count => count <= pageEvents))
    t.equal(reads.length, 201)
  },
)

t.test(
  'resumed from its token after any event: no event is missing, whole commands come again at most',
  async t => {
    const { subscribe, grow } = createFeed(3)
    grow(1, 3)
    grow(2, 2)
    const all = await gather(subscribe({ until: 'now' }))
    t.equal(all.length, 15)
    for (let count = 0; count <= all.length; count += 1) {
      const first = subscribe()
      const iterator = first[Symbol.asyncIterator]()
      const seen: EventEnvelope[] = []
      while (seen.length < count) {
        const { value } = await iterator.next()
        if (value !== undefined) seen.push(value)
      }
      const token = first.token()
      await iterator.return()
      const rest = await gather(subscribe({ from: token, until: 'now' }))
      const missing = all.filter(
        event =>
          ![...seen, ...rest].some(
            ({ id, position }) => id === event.id && position.partition === event.position.partition,
          ),
      )
      t.equal(places(missing), '', `after ${count}`)
      t.equal(rest.length, all.length - Math.floor(count / 3) * 3, `after ${count} events, token ${token}`)
    }
  },
)

t.test('a token beyond the head waits for it; one of another cluster, and no token, are refused', async t => {
  const { subscribe, grow } = createFeed()
  grow(1, 2)
  const beyond = subscribe({ from: '1:3' })
  t.equal(beyond.token(), '1:3')
  const next = beyond.next()
  for (const index of [3, 4]) {
    await new Promise(resolve => setImmediate(resolve))
    grow(1, index)
  }
  t.match(await next, { value: { position: { index: 4 } } })
  t.equal(beyond.token(), '1:4')
  for (const [from, message] of [
    ['3:1', /token 3:1 names partition 3; allowed: 1 to 2/],
    ['yesterday', /token is "yesterday"/],
  ] as const)
    await t.rejects(subscribe({ from }).next(), { code: 'INVALID_ARGUMENT', message })
})

t.test('"now" is the moment of the call, whenever somebody begins to read', async t => {
  const { subscribe, grow } = createFeed()
  grow(1, 2)
  const events = subscribe({ from: 'now' })
  t.equal(events.token(), '1:2,2:0')
  grow(1, 3)
  t.match(await events.next(), { value: { position: { index: 3 } } })
})

t.test('break, and the signal, end it and leave no listener', async t => {
  const { subscribe, grow, listeners } = createFeed()
  grow(1, 5)
  for await (const event of subscribe()) if (event.position.index === 3) break
  t.equal(listeners.size, 0)
  const stop = new AbortController()
  const waiting = gather(subscribe({ signal: stop.signal }))
  await new Promise(resolve => setImmediate(resolve))
  t.equal(listeners.size, 1)
  stop.abort()
  t.equal((await waiting).length, 5)
  t.equal(listeners.size, 0)
  subscribe()
  t.equal(listeners.size, 0, 'one that nobody reads holds nothing')
})

t.test('a filter leaves events out, and its token counts them as seen', async t => {
  const { subscribe, grow } = createFeed(2)
  grow(1, 4)
  const odd = subscribe({ filter: { aggregateTypes: ['odd'], eventTypes: ['First'] }, until: 'now' })
  t.equal(places(await gather(odd)), '1:1#1 1:3#5')
  t.equal(odd.token(), '1:4')
  for (const filter of [{ eventTypes: [] }, { aggregateTypes: 'odd' }, { types: ['odd'] }])
    await t.rejects(subscribe({ filter: filter as never }).next(), {
      code: 'INVALID_ARGUMENT',
      message: /^filter\./,
    })
})

t.test('a subscription leaves nothing behind while its caller and the node live on', async t => {
  const { feed, grow } = createFeed()
  grow(1, 3)
  const caller = new AbortController()
  const node = new AbortController()
  const held = await countHeld(50, async () => {
    let signal: object = {}
    const watched: Pick<Feed, 'heads' | 'onAdvance' | 'read'> = {
      heads: feed.heads,
      onAdvance: feed.onAdvance,
      read(partition, range, options) {
        signal = options.signal
        return feed.read(partition, range, options)
      },
    }
    const options = { partitions: [1, 2], clock: createManualClock(), from: 'start', until: 'now' } as const
    await gather(subscribeToFeed(watched as Feed, { ...options, signal: caller.signal, closed: node.signal }))
    return signal
  })
  t.equal(held, 0)
  caller.abort()
  node.abort()
})

t.test('one with an end gives up when a key does not come; one without waits for it', async t => {
  const { feed, grow } = createFeed()
  grow(1, 3)
  const clock = createManualClock()
  const missing = new GlynError('KEY_UNAVAILABLE', 'key k is not here', { details: { key: 'k' } })
  let hasKey = false
  const sealed: Feed = {
    ...feed,
    read: (...args) => (hasKey ? feed.read(...args) : Promise.reject(missing)),
  }
  const init = { from: 'start', partitions: [1, 2], clock } as const
  const ending = gather(subscribeToFeed(sealed, { ...init, until: '1:3' }))
  const endless = subscribeToFeed(sealed, init).next()
  const refused = t.rejects(ending, { code: 'KEY_UNAVAILABLE' })
  await clock.advance(60_000)
  await refused
  const late = gather(subscribeToFeed(sealed, { ...init, until: '1:3' }))
  await clock.advance(5000)
  hasKey = true
  await clock.advance(5000)
  t.equal((await late).length, 3, 'one that comes in time is no harm')
  t.match(await endless, { value: { position: { partition: 1, index: 1 } } })
})
