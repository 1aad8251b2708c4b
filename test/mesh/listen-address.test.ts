import t from 'tap'
import { createEphemeralIdentity } from '../../src/mesh/libp2p/identity.ts'
import { createLibp2pMesh } from '../../src/mesh/libp2p/libp2p-mesh.ts'
import { isLoopbackAddress, parseListenAddress } from '../../src/mesh/listen-address.ts'
import { startMesh } from './libp2p-cluster.ts'
import { realClock } from './real-clock.ts'

const peer = '/p2p/12D3KooWKepjtjQmHcms4QEQ71TMJKZ6Ye336aW4LfWMQHFVcc7p'

t.test('loopback is 127.0.0.0/8, ::1 and localhost', async t => {
  for (const one of [
    '/ip4/127.0.0.1/tcp/0',
    '/ip4/127.9.9.9/tcp/1',
    '/ip6/::1/tcp/0',
    '/dns4/localhost/tcp/1',
  ]) {
    t.equal(isLoopbackAddress(one), true, one)
    t.equal(isLoopbackAddress(`${one}${peer}`), true, one)
  }
  for (const one of [
    '/ip4/0.0.0.0/tcp/0',
    '/ip4/10.0.0.1/tcp/1',
    '/ip6/::/tcp/0',
    '/dns4/localhost.evil.net/tcp/1',
    'x',
  ]) {
    t.equal(isLoopbackAddress(one), false, one)
  }
})

t.test('an address is read, or refused by name', async t => {
  t.same(parseListenAddress('/ip4/127.0.0.1/tcp/4001'), { host: '127.0.0.1', port: 4001, isLoopback: true })
  t.same(parseListenAddress(`/dns4/a.example/tcp/1${peer}`), {
    host: 'a.example',
    port: 1,
    isLoopback: false,
  })
  const cases: readonly [string, RegExp][] = [
    ['127.0.0.1:4001', /address is "127\.0\.0\.1:4001"/],
    ['/ip4/127.0.0.1', /its transport is missing/],
    ['/ip4/127.0.0.1/udp/1', /its transport is udp/],
    ['/ip4/127.0.0.1/udp/1/quic-v1', /its transport is udp/],
    ['/ip4/127.0.0.1/tcp/1/ws', /goes on after the port with \/ws/],
    ['/ip4/999.0.0.1/tcp/1', /allowed: \/ip4/],
    ['/unix/tmp', /does not begin with a host/],
  ]
  for (const [address, message] of cases) {
    t.throws(() => parseListenAddress(address), { code: 'INVALID_CONFIGURATION', message }, address)
  }
})

t.test('an announced address is what others are told', async t => {
  const mesh = await startMesh(t, { announce: ['/dns4/node-1.example/tcp/4001'] })
  t.same(mesh.addresses(), [`/dns4/node-1.example/tcp/4001/p2p/${mesh.peerId}`])
})

t.test('a port that is taken is named', async t => {
  const mesh = await startMesh(t)
  const taken = mesh.addresses()[0]?.replace(/\/p2p\/.*/, '') ?? ''
  const { privateKey } = await createEphemeralIdentity()
  const second = await createLibp2pMesh({ privateKey, scope: 'default', listen: [taken], clock: realClock })
  const message = new RegExp(`cannot listen on ${taken}`)
  await t.rejects(second.start(), { code: 'INVALID_CONFIGURATION', message })
  await second.stop()
})
