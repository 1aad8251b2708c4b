// Closed by default: loopback without a secret, nobody without the secret, no second cluster by mistake.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createWorkplace, repository, run, runJson } from './real-node.ts'

t.setTimeout(600_000)
const config = ['--config', join(repository, 'config')]

t.test('listening beyond loopback without a secret is refused with an explanation', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const dataDir = join(place.folder, 'open')
  const { code, stderr } = await run([
    'start',
    '--topic',
    'bank_events',
    '--data-dir',
    dataDir,
    '--listen',
    '/ip4/0.0.0.0/tcp/0',
    ...config,
  ])
  t.equal(code, 2)
  t.match(stderr, /keygen/)
  t.match(stderr, /--secret-file/)
})

t.test('with a secret: members need it, and so do clients', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const secret = join(place.folder, 'swarm.key')
  t.equal((await run(['keygen', secret])).code, 0)
  t.ok(existsSync(secret))
  const a = await place.start('a', [...config, '--secret-file', secret])
  const address = a.ready.addresses[0] ?? ''
  const b = await place.start('b', [...config, '--secret-file', secret, '--bootstrap', address])
  t.equal(b.ready.clusterId, a.ready.clusterId)
  const command = ['send-command', 'bank_account', 'acc-1', 'OpenAccount', '--peer', address]
  const stranger = await run([...command, '--timeout', '3s', '--json'], { cwd: place.folder })
  t.equal(stranger.code, 4, stranger.stderr)
  t.match(JSON.parse(stranger.stderr), { error: { code: 'PEER_UNREACHABLE' } })
  const friend = await runJson<{ type: string }>([...command, '--timeout', '60s', '--secret-file', secret])
  t.equal(friend.type, 'accepted')
})

t.test('a node of another topic, and one of another cluster, are told so', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const a = await place.start('a', config)
  const address = a.ready.addresses[0] ?? ''
  const other = await run([
    'start',
    '--topic',
    'other',
    '--data-dir',
    join(place.folder, 'x'),
    '--bootstrap',
    address,
    ...config,
  ])
  t.equal(other.code, 1)
  t.match(other.stderr, /topic bank_events.*asks for other/)
})
