// Settings: which source wins, and what is said about values that are wrong.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadSettings } from '../../src/cli/settings.ts'
import type { GlynError } from '../../src/core/errors.ts'
import { createFolder } from '../support/memory-io.ts'

const keys = [
  'topic',
  'scope',
  'partitions',
  'replicas',
  'listen',
  'bootstrap',
  'mdns',
  'http',
  'log-level',
] as const
const peer = '/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X'

async function load(
  t: Test,
  given: { flags?: Record<string, unknown>; env?: Record<string, string>; yaml?: string } = {},
) {
  const cwd = await createFolder(t)
  if (given.yaml !== undefined) {
    await mkdir(join(cwd, 'config'))
    await writeFile(join(cwd, 'config', 'glyn.yaml'), given.yaml)
  }
  return () => loadSettings(keys, { flags: given.flags ?? {}, env: given.env ?? {}, cwd })
}

t.test('flags win over the environment, that over glyn.yaml, that over defaults', async t => {
  const read = await load(t, {
    flags: { topic: 'from_flag' },
    env: {
      GLYN_TOPIC: 'from_env',
      GLYN_SCOPE: 'from_env',
      GLYN_LISTEN: '/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2',
    },
    yaml: 'topic: from_yaml\nscope: from_yaml\npartitions: 8\nlogLevel: warn\nhttp: null\n',
  })
  const { settings, configDirectory } = read()
  t.match(settings, {
    topic: 'from_flag',
    scope: 'from_env',
    partitions: 8,
    replicas: 3,
    listen: ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'],
    mdns: false,
    'log-level': 'warn',
  })
  t.equal(settings.http, undefined)
  t.match(configDirectory, /config$/)
})

t.test('all complaints come at once, each with key, source, value and what is allowed', async t => {
  const read = await load(t, {
    flags: { replicas: '2', bootstrap: ['/ip4/10.0.0.1/tcp/4001'] },
    env: { GLYN_PARTITIONS: 'many' },
    yaml: 'topik: bank\nlogLevel: loud\n',
  })
  let error: GlynError | undefined
  try {
    read()
  } catch (caught) {
    error = caught as GlynError
  }
  t.equal(error?.code, 'INVALID_CONFIGURATION')
  for (const text of [
    /topik is "bank" \(from .*glyn\.yaml\); allowed: topic \(did you mean that\?\)/,
    /topic is missing: give it by --topic, GLYN_TOPIC or glyn\.yaml/,
    /partitions is "many" \(from GLYN_PARTITIONS\); allowed: a whole number from 1 to 1024/,
    /replicas is "2" \(from --replicas\); allowed: an odd number from 1 to 7/,
    /bootstrap is \["\/ip4\/10\.0\.0\.1\/tcp\/4001"\] \(from --bootstrap\); allowed: multiaddrs with \/p2p\//,
    /log-level is "loud" \(from glyn\.yaml\); allowed: debug, info/,
  ]) {
    t.match(error?.message, text)
  }
  t.match(error?.details, { complaints: { length: 6 } })
})

t.test('values that are allowed pass, values that are not do not', async t => {
  const cases: [string, unknown, boolean][] = [
    ['partitions', '0', false],
    ['partitions', '1.5', false],
    ['partitions', '1025', false],
    ['replicas', '5', true],
    ['http', '127.0.0.1:8080', true],
    ['http', '[::1]:0', true],
    ['http', '8080', false],
    ['http', 'host:70000', false],
    ['bootstrap', [peer], true],
    ['bootstrap', peer, true],
    ['listen', ['tcp://127.0.0.1'], false],
    ['listen', [], false],
    ['mdns', true, true],
    ['mdns', 'yes', false],
    ['topic', 'with blank', false],
  ]
  for (const [key, value, isAllowed] of cases) {
    const read = await load(t, { flags: { topic: 'bank', [key]: value } })
    if (isAllowed) t.doesNotThrow(read, `${key} ${value}`)
    else t.throws(read, { code: 'INVALID_CONFIGURATION' }, `${key} ${value}`)
  }
})

t.test('a config folder that was named must exist; a file that is not YAML is named', async t => {
  const named = await load(t, { flags: { topic: 'bank', config: './nowhere' } })
  t.throws(named, { message: /config is "\.\/nowhere" \(from --config\).*glyn-node init/ })
  t.equal((await load(t, { flags: { topic: 'bank' } }))().configDirectory, null)
  const broken = await load(t, { yaml: 'topic: [' })
  t.throws(broken, { message: /glyn\.yaml/ })
})

t.test('the glyn.yaml that init copies is fine and holds the defaults', async t => {
  const cwd = await createFolder(t)
  const config = new URL('../../config', import.meta.url).pathname
  const plain = loadSettings(keys, { flags: { topic: 'bank_events' }, env: {}, cwd })
  const read = loadSettings(keys, { flags: { config }, env: {}, cwd })
  t.strictSame(read.settings, plain.settings)
})

t.test('a store may hold a password, and no complaint shows it', async t => {
  const cwd = await createFolder(t)
  const refused = (store: string): string => {
    try {
      loadSettings(['store'], { flags: { store }, env: {}, cwd })
      return ''
    } catch (error) {
      return JSON.stringify([(error as GlynError).message, (error as GlynError).details])
    }
  }
  t.equal(refused('postgres://bank:secret@db.example/bank'), '')
  for (const store of [
    'postgress://bank:secret@db/bank',
    'mysql://bank:se@cret@db/bank',
    'pg:bank:secret@db',
    'mysql://db/bank?password=secret&x=1',
  ]) {
    t.match(refused(store), /store is .*allowed: sqlite, memory, postgres:\/\/user/)
    t.notMatch(refused(store), /secret|cret/)
  }
})
