// POST /v1/batch as any HTTP client meets it.
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { GlynError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { createControlClient } from '../../src/http/control-client.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { readLineGroups } from '../../src/http/read-lines.ts'
import { createCoreNode } from '../support/core-node.ts'

async function serve(t: Test) {
  const node = createCoreNode()
  const warnings: string[] = []
  const log = { ...silentLog, warn: (_: object, message: string) => void warnings.push(message) }
  const server = await createControlServer({ node, tcp: { host: '127.0.0.1', port: 0 }, log })
  t.teardown(() => server.close())
  const post = async (body: string | PassThrough) => {
    const headers = { 'content-type': 'application/x-ndjson' }
    const response = await request(`${server.url}/v1/batch`, { method: 'POST', headers, body })
    return readLineGroups(response.body)
  }
  const postAll = async (body: string, onAnswers: (count: number) => void = () => {}) => {
    const answers: { key: unknown; outcome?: unknown; error?: unknown }[] = []
    for await (const lines of await post(body)) {
      answers.push(...lines.filter(line => line !== '').map(line => JSON.parse(line)))
      onAnswers(answers.length)
    }
    return answers
  }
  return { node, server, post, postAll, warnings }
}

const line = (key: unknown, id: string, more: object = {}): string =>
  `${JSON.stringify({ key, type: 'counter', id, command: 'Add', data: { by: 1 }, ...more })}\n`

t.test('answers carry the key, in the order of completion; one aggregate keeps its order', async t => {
  const { node, postAll } = await serve(t)
  let release: () => void = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  node.before((_, { commandId }) => (commandId === 'slow' ? held : undefined))
  const answers = await postAll(
    line('x', 'a', { commandId: 'slow' }) +
      line(undefined, 'a') +
      line(7, 'b') +
      line('z', 'c', { command: 'Bad' }),
    count => count >= 2 && release(),
  )
  t.strictSame(
    answers.map(({ key }) => key),
    [7, 'z', 'x', 2],
  )
  t.match(answers[1], { error: { code: 'UNKNOWN_COMMAND' } })
  t.match(answers[2], { outcome: { type: 'accepted', commandId: 'slow', sequence: 1 } })
  t.match(answers[3], { outcome: { sequence: 2 } })
})

t.test('an answer comes while the request is still being written', async t => {
  const { post } = await serve(t)
  const body = new PassThrough()
  body.write(line(1, 'a'))
  const answers = await post(body)
  for (const key of [1, 2, 3]) {
    if (key > 1) body.write(line(key, 'a'))
    const { value } = await answers.next()
    t.match(JSON.parse(value?.[0] ?? ''), { key, outcome: { sequence: key } })
  }
  body.end()
  t.match(await answers.next(), { done: true })
})

t.test('a line that cannot be read ends the batch with its number', async t => {
  const { postAll, node } = await serve(t)
  const answers = await postAll(`${line(1, 'a')}{"type":\n${line(3, 'a')}`)
  t.strictSame(
    answers.map(({ key }) => key),
    [1, null],
  )
  t.match(answers[1], { error: { code: 'INVALID_ARGUMENT', message: /^line 2: / } })
  t.equal(node.executed.length, 1)
})

t.test('a closing server answers what it has read, and ends', async t => {
  const { node, server, warnings } = await serve(t)
  const client = createControlClient({ url: server.url ?? '' })
  t.teardown(() => client.close())
  const connection = client.openBatch()
  const command = { type: 'counter', id: 'a', command: 'Add', data: { by: 1 }, timeoutMs: 60_000 }
  await connection.send(command)
  let release: () => void = () => {}
  node.before(
    () =>
      new Promise<void>(resolve => {
        release = resolve
      }),
  )
  const underWay = connection.send(command)
  while (node.executed.length < 2) await new Promise(done => setTimeout(done, 5))
  const closed = server.close()
  setTimeout(release, 50)
  t.match(await underWay, { type: 'accepted', sequence: 2 })
  await closed
  t.same(warnings, [], 'it was not the time limit that ended it')
  await t.rejects(connection.send(command), { code: 'UNAVAILABLE' })
  t.notOk(connection.isOpen())
})

t.test('a connection that is lost fails what has no answer, to be sent again', async t => {
  const { node, server } = await serve(t)
  node.before(() => new Promise(() => {}))
  const client = createControlClient({ url: server.url ?? '' })
  t.teardown(() => client.close())
  const connection = client.openBatch()
  const command = { type: 'counter', id: 'a', command: 'Add', data: { by: 1 } }
  await t.rejects(connection.send({ ...command, timeoutMs: 1 }), { code: 'TIMEOUT', retryable: true })
  const sent = connection.send({ ...command, id: 'b', timeoutMs: 60_000 })
  setTimeout(() => connection.close(), 50)
  await t.rejects(sent, { code: 'SHUTTING_DOWN' })
  const nobody = createControlClient({ url: 'http://127.0.0.1:1' })
  await t.rejects(nobody.openBatch().send({ ...command, timeoutMs: 60_000 }), { code: 'NODE_NOT_RUNNING' })
  await nobody.close()
  node.before(() => {
    throw new GlynError('OVERLOADED', 'full')
  })
  const third = client.openBatch()
  await t.rejects(third.send({ ...command, id: 'c', timeoutMs: 60_000 }), { code: 'OVERLOADED' })
  third.close()
})
