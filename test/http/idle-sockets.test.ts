// A connection that is silent for too long is cut, unless it waits for an answer.
import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import t, { type Test } from 'tap'
import { watchIdleSockets } from '../../src/http/idle-sockets.ts'

/** A server whose connections time out once a call is `whole` or `begun`, and that answers only after a timeout. */
async function setUp(t: Test, moment: 'whole' | 'begun'): Promise<number> {
  const server = createServer((request, response) => {
    const growSilent = (): void => void request.socket.setTimeout(1)
    if (moment === 'begun') growSilent()
    else request.resume().once('end', growSilent)
    server.once('timeout', () => response.end('late'))
  })
  watchIdleSockets(server)
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

t.test('a call that was read as a whole gets its answer, however long the server was silent', async t => {
  const port = await setUp(t, 'whole')
  const text = await new Promise<string>((resolve, reject) => {
    const call = httpRequest({ port, host: '127.0.0.1', method: 'POST' }, response => {
      response.setEncoding('utf8').once('data', resolve)
    })
    call.once('error', reject).end('body')
  })
  t.equal(text, 'late')
})

t.test('a caller that stops in the middle of its call is cut', async t => {
  const socket = connect(await setUp(t, 'begun'), '127.0.0.1')
  const answer = new Promise<string>(resolve => {
    let text = ''
    socket.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    socket.once('close', () => resolve(text)).on('error', () => {})
  })
  socket.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
  t.equal(await answer, '')
})
