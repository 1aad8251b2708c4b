// POST /v1/append as any HTTP client meets it.
import t from 'tap'
import { request } from 'undici'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createCoreNode } from '../support/core-node.ts'

const line = (id: string, sequence: number, more: object = {}): string =>
  `${JSON.stringify({
    key: `${id}${sequence}`,
    type: 'counter',
    id,
    expectedSequence: sequence - 1,
    commandId: `${id}-${sequence}`,
    time: '2026-11-26T04:00:00.250Z',
    metadata: { user: 'ann' },
    events: [{ type: 'Added', data: { by: 1 } }],
    ...more,
  })}\n`

t.test('each line has its answer; the events are as given', async t => {
  const node = createCoreNode()
  const server = await createControlServer({ node, tcp: { host: '127.0.0.1', port: 0 }, log: silentLog })
  t.teardown(() => server.close())
  const post = async (body: string): Promise<{ key: unknown; result?: unknown; error?: unknown }[]> => {
    const headers = { 'content-type': 'application/x-ndjson' }
    const response = await request(`${server.url}/v1/append`, { method: 'POST', headers, body })
    const text = await response.body.text()
    return text
      .split('\n')
      .filter(one => one !== '')
      .map(one => JSON.parse(one))
  }
  const more = { events: [{ type: 'Added', version: 2, dataText: '{"by":12345678901234567890}' }] }
  const answers = await post(
    line('a', 1) + line('a', 2, more) + line('a', 9) + line('b', 1, { key: undefined }),
  )
  const byKey = new Map(answers.map(answer => [answer.key, answer.result]))
  t.match(byKey.get('a1'), { type: 'appended', position: { partition: Number, index: 1 } })
  t.match(byKey.get('a2'), { type: 'appended', position: { index: 2 } })
  t.same(byKey.get('a9'), { type: 'conflict', sequence: 2 })
  t.match(byKey.get(4), { type: 'appended' })
  t.match((await node.loadEvents('counter', 'a'))[0], {
    time: '2026-11-26T04:00:00.250Z',
    metadata: { user: 'ann' },
    version: 1,
    commandId: 'a-1',
  })

  t.match(await post(line('c', 1) + line('c', 2, { time: 'tomorrow' })), [
    { key: 'c1', result: { type: 'appended' } },
    {
      key: null,
      error: { code: 'INVALID_ARGUMENT', message: /^line 2: time is "tomorrow"; allowed: a moment/ },
    },
  ])
  t.match(await post(line('c', 2, { colour: 1 })), [
    { key: null, error: { message: /"colour" is no field here/ } },
  ])
  t.match(await post(line('c', 2, { events: [{ type: 'A', data: 1, dataText: '1' }] })), [
    { key: null, error: { message: /line 1: event 1: data is 1; allowed: data or dataText/ } },
  ])
})
