import { PbfWriter } from 'pbf'
import t from 'tap'
import { GlynError, hasCode } from '../../src/core/errors.ts'
import type { Log } from '../../src/core/log.ts'
import { createRpc } from '../../src/mesh/create-rpc.ts'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { meshLimits } from '../../src/mesh/mesh-limits.ts'
import { decodeRpcFrame, encodeAnswer } from '../../src/mesh/rpc-frame.ts'
import { createManualClock } from './manual-clock.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array): string => Buffer.from(value).toString()

async function twoNodes({ pendingMax }: { readonly pendingMax?: number } = {}) {
  const clock = createManualClock()
  const network = createMemoryNetwork({ clock })
  const errors: string[] = []
  const log: Log = { debug() {}, info() {}, warn: (_, m) => errors.push(m), error: (_, m) => errors.push(m) }
  const [a, b] = [network.createMesh({ peerId: 'a' }), network.createMesh({ peerId: 'b' })]
  await Promise.all([a.start(), b.start()])
  a.setMembers([{ peerId: 'b', addresses: b.addresses() }])
  await clock.advance(1)
  const client = createRpc({ mesh: a, clock, log, ...(pendingMax === undefined ? {} : { pendingMax }) })
  const server = createRpc({ mesh: b, clock, log })
  /** The outcome of a promise, once the clock has moved. */
  const outcome = async (promise: Promise<Uint8Array>, ms = 1): Promise<string> => {
    const settled = promise.then(
      value => text(value),
      error => {
        if (!hasCode(error, error.code)) throw error
        return `${error.code}: ${error.message}`
      },
    )
    await clock.advance(ms)
    return Promise.race([settled, Promise.resolve('still waiting')])
  }
  return { clock, network, a, b, client, server, errors, outcome }
}
const timeoutMs = 1000

t.test('a request gets the answer of its handler, with who asked', async t => {
  const { client, server, outcome } = await twoNodes()
  server.serve('greet', (from, body) => bytes(`${from} says ${text(body)}`))
  server.serve('later', async (_, body) => body)
  t.equal(await outcome(client.request('b', 'greet', bytes('hello'), { timeoutMs })), 'a says hello')
  t.equal(await outcome(client.request('b', 'later', bytes('ü'), { timeoutMs })), 'ü')
})

t.test('answers find their requests when they come in another order', async t => {
  const { clock, client, server, outcome } = await twoNodes()
  server.serve(
    'wait',
    (_, body) => new Promise(resolve => clock.after(Number(text(body)), () => resolve(body))),
  )
  const slow = client.request('b', 'wait', bytes('50'), { timeoutMs })
  const quick = client.request('b', 'wait', bytes('10'), { timeoutMs })
  t.equal(await outcome(quick, 20), '10')
  t.equal(await outcome(slow, 40), '50')
})

t.test('a GlynError keeps code, text and details on its way', async t => {
  const { client, server, clock } = await twoNodes()
  server.serve('lead', () => {
    throw new GlynError('NOT_LEADER', 'ask b', { details: { leader: 'b' } })
  })
  const failed = t.rejects(client.request('b', 'lead', bytes(''), { timeoutMs }), {
    code: 'NOT_LEADER',
    message: 'ask b',
    retryable: true,
    details: { leader: 'b' },
  })
  await clock.advance(1)
  await failed
})

t.test('an error that is not ours travels as INTERNAL and is logged', async t => {
  const { client, server, errors, outcome } = await twoNodes()
  server.serve('break', () => {
    throw new TypeError('oops')
  })
  server.serve('break later', async () => {
    throw new TypeError('oops later')
  })
  t.equal(await outcome(client.request('b', 'break', bytes(''), { timeoutMs })), 'INTERNAL: oops')
  t.equal(await outcome(client.request('b', 'break later', bytes(''), { timeoutMs })), 'INTERNAL: oops later')
  t.same(errors, ['rpc: a handler threw', 'rpc: a handler threw'])
})

t.test('an unknown method is refused by name', async t => {
  const { client, server, outcome } = await twoNodes()
  server.serve('one', () => bytes(''))
  const answer = await outcome(client.request('b', 'two', bytes(''), { timeoutMs }))
  t.equal(answer, 'INVALID_ARGUMENT: rpc method is "two"; served here: one')
})

t.test('after its deadline a request fails with TIMEOUT, and its late answer is ignored', async t => {
  const { client, server, clock, outcome } = await twoNodes()
  server.serve('wait', () => new Promise(resolve => clock.after(2000, () => resolve(bytes('late')))))
  const long = client.request('b', 'wait', bytes(''), { timeoutMs: 5000 })
  const short = client.request('b', 'wait', bytes(''), { timeoutMs: 300 })
  t.equal(await outcome(short, 299), 'still waiting')
  t.equal(await outcome(short, 10), 'TIMEOUT: wait: b did not answer within 300 ms')
  t.equal(await outcome(long, 2000), 'late')
})

t.test('a caller that gives up is answered at once', async t => {
  const { client, server, outcome } = await twoNodes()
  server.serve('never', () => new Promise(() => {}))
  const controller = new AbortController()
  const waiting = client.request('b', 'never', bytes(''), { timeoutMs, signal: controller.signal })
  t.equal(await outcome(waiting), 'still waiting')
  controller.abort()
  t.match(await outcome(waiting, 0), /^TIMEOUT: never: the caller gave up/)
  const aborted = client.request('b', 'never', bytes(''), { timeoutMs, signal: AbortSignal.abort() })
  t.match(await outcome(aborted, 0), /^TIMEOUT/)
})

t.test('without a connection nothing is sent: PEER_UNREACHABLE', async t => {
  const { client, network, outcome } = await twoNodes()
  network.cut('a', 'b')
  t.equal(
    await outcome(client.request('b', 'greet', bytes(''), { timeoutMs }), 0),
    'PEER_UNREACHABLE: greet: b is not connected',
  )
})

t.test('a connection that breaks under way leaves the outcome unknown', async t => {
  const { client, server, network, outcome } = await twoNodes()
  server.serve('never', () => new Promise(() => {}))
  const waiting = client.request('b', 'never', bytes(''), { timeoutMs })
  t.equal(await outcome(waiting, 10), 'still waiting')
  network.crash('b')
  t.equal(await outcome(waiting), 'OUTCOME_UNKNOWN: never: the connection broke while b was at work on it')
})

t.test('close ends what is under way and refuses what comes', async t => {
  const { client, server, outcome } = await twoNodes()
  server.serve('never', () => new Promise(() => {}))
  const waiting = client.request('b', 'never', bytes(''), { timeoutMs })
  client.close()
  t.match(await outcome(waiting, 0), /^OUTCOME_UNKNOWN: never: this node is stopping/)
  t.match(await outcome(client.request('b', 'never', bytes(''), { timeoutMs }), 0), /^SHUTTING_DOWN/)
})

t.test('past pendingMax requests are refused, and taken again when some are answered', async t => {
  const { client, server, clock, outcome } = await twoNodes({ pendingMax: 2 })
  server.serve('wait', () => new Promise(resolve => clock.after(100, () => resolve(bytes('done')))))
  const ask = () => client.request('b', 'wait', bytes(''), { timeoutMs })
  const [one, two] = [ask(), ask()]
  t.equal(await outcome(ask(), 0), 'OVERLOADED: wait: 2 requests are under way; allowed: 2')
  t.equal(await outcome(one, 150), 'done')
  t.equal(await outcome(two, 0), 'done')
  t.equal(await outcome(ask(), 150), 'done')
})

t.test('what is too large is refused on the way there and on the way back', async t => {
  const { client, server, outcome } = await twoNodes()
  const huge = new Uint8Array(meshLimits.frameBytesMax + 1)
  server.serve('much', () => huge)
  t.match(await outcome(client.request('b', 'much', huge, { timeoutMs }), 0), /^MESSAGE_TOO_LARGE/)
  t.match(await outcome(client.request('b', 'much', bytes(''), { timeoutMs })), /^MESSAGE_TOO_LARGE/)
})

t.test('a full queue to the peer refuses with OVERLOADED', async t => {
  const { client, network, outcome } = await twoNodes()
  network.setFate(() => 500)
  const large = new Uint8Array(3 * 1024 * 1024)
  const sent = Array.from({ length: 8 }, () => client.request('b', 'x', large, { timeoutMs }))
  const outcomes = await Promise.all(sent.map(one => outcome(one, 0)))
  t.equal(outcomes[0], 'still waiting')
  t.equal(outcomes[7], 'OVERLOADED: x: too much waits to be sent to b')
  await Promise.allSettled([...sent.map(one => outcome(one, 3000))])
})

t.test('unknown fields are skipped, and what is no frame is dropped with a word', async t => {
  const { a, b, clock, server, errors } = await twoNodes()
  let asked = ''
  server.serve('greet', (_, body) => {
    asked = text(body)
    return body
  })
  const writer = new PbfWriter()
  writer.writeStringField(99, 'from a later version')
  writer.writeVarintField(1, 7)
  writer.writeStringField(2, 'greet')
  writer.writeVarintField(3, 1000)
  writer.writeBytesField(4, bytes('hello'))
  a.send(b.peerId, 'rpc', writer.finish())
  a.send(b.peerId, 'rpc', Uint8Array.of(0x22, 0xff, 0xff, 0x03, 1))
  await clock.advance(1)
  t.equal(asked, 'hello')
  t.same(errors, ['rpc: a frame cannot be read and is dropped'])
})

t.test('an answer from another peer than the one asked is ignored', async t => {
  const { network, clock, client, a, outcome } = await twoNodes()
  const [c, d] = [network.createMesh({ peerId: 'c' }), network.createMesh({ peerId: 'd' })]
  for (const mesh of [c, d]) {
    await mesh.start()
    mesh.setMembers([{ peerId: 'a', addresses: a.addresses() }])
  }
  await clock.advance(1)
  const ids: number[] = []
  d.handle('rpc', (_, frame) => void ids.push(decodeRpcFrame(frame).id))
  const waiting = client.request('d', 'answered by hand', bytes(''), { timeoutMs })
  t.equal(await outcome(waiting), 'still waiting')
  c.send('a', 'rpc', encodeAnswer(ids[0] ?? 0, bytes('forged')))
  t.equal(await outcome(waiting), 'still waiting')
  d.send('a', 'rpc', encodeAnswer(ids[0] ?? 0, bytes('true')))
  t.equal(await outcome(waiting), 'true')
})

t.test('an answer to a request of the last life is not taken for that of a new one', async t => {
  const { network, clock, client, server, outcome } = await twoNodes()
  let answerOld = (): void => {}
  server.serve('old', () => new Promise(resolve => (answerOld = () => resolve(bytes('old')))))
  server.serve('new', () => new Promise(() => {}))
  client.request('b', 'old', bytes(''), { timeoutMs }).catch(() => {})
  await clock.advance(1)
  network.crash('a')
  const reborn = network.createMesh({ peerId: 'a' })
  await reborn.start()
  reborn.setMembers([{ peerId: 'b', addresses: ['/memory/b'] }])
  await clock.advance(1)
  const again = createRpc({ mesh: reborn, clock })
  const waiting = again.request('b', 'new', bytes(''), { timeoutMs })
  t.equal(await outcome(waiting), 'still waiting')
  answerOld()
  t.equal(await outcome(waiting), 'still waiting')
  waiting.catch(() => {})
  again.close()
})
