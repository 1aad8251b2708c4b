// The file of a backup: whole or refused, with the place of the damage.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLog } from '../../../src/core/log.ts'
import { partitionOf } from '../../../src/core/partition-of.ts'
import { createNode } from '../../../src/node/create-node.ts'
import { openDataDirectory } from '../../../src/node/data-directory.ts'
import type { LogCopy } from '../../../src/node/log-copy.ts'
import type { BackupSummary } from '../../../src/node/moving/backup-contents.ts'
import { readBackup } from '../../../src/node/moving/read-backup.ts'
import { restoreBackup } from '../../../src/node/moving/restore-backup.ts'
import { readToEnd, saveBackup, verifyBackup } from '../../../src/node/moving/save-backup.ts'
import { writeBackup } from '../../../src/node/moving/write-backup.ts'
import { restoringName } from '../../../src/node/restoring.ts'
import type { Entry } from '../../../src/raft/entry.ts'
import { gather } from '../../support/gather.ts'
import { counter, eventually } from '../memory-cluster.ts'
import { added, type Draft, logOf, noop } from './some-log.ts'

const signal = new AbortController().signal
const cluster = { clusterId: 'old', topic: 'test', scope: 'default', partitions: 3, replicas: 3 }

/** Ids of counters that belong there. */
const idsIn = (partition: number): string[] =>
  [...'abcdefghijklmnop'].filter(id => partitionOf({ type: 'counter', id }, 3) === partition)
const [a = ''] = idsIn(1)
const [b = '', c = ''] = idsIn(3)

const logs = new Map<number, readonly Entry[]>([
  [1, logOf([noop, ...many(a, 200)])],
  [2, logOf([noop])],
  [3, logOf([...many(b, 50), noop, added('x', 1, 'glyn.outcome'), ...many(c, 60)])],
])

function many(id: string, count: number): Draft[] {
  return Array.from({ length: count }, (_, n) => added(id, n + 1))
}

/** So many entries at a time. `failing`: the log of the last partition cannot be read to its end. */
const copyOf = ({ page = 40, failing = false } = {}): LogCopy => ({
  head: async partition => logs.get(partition)?.length ?? 0,
  async *entries(partition, throughIndex) {
    for (let from = 0; from < throughIndex; from += page) {
      if (failing && partition === 3 && from > 0) throw new Error('the disk is gone')
      yield (logs.get(partition) ?? []).slice(from, Math.min(from + page, throughIndex))
    }
  },
})

const bytesOf = async (options: Parameters<typeof copyOf>[0] = {}): Promise<Buffer> =>
  Buffer.concat(await gather(writeBackup({ copy: copyOf(options), settings: cluster, timeMs: 0, signal })))

async function* pieces(bytes: Buffer, size = 777): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const summaryOf = async (bytes: Buffer): Promise<BackupSummary> => await readToEnd(pieces(bytes), 'file', {})

t.test('what was written is read, entry by entry, with the tokens of all partitions', async t => {
  const bytes = await bytesOf()
  const found = new Map<number, Entry[]>()
  for await (const part of readBackup(pieces(bytes), 'file'))
    if (part.type === 'entries')
      found.set(part.partition, [...(found.get(part.partition) ?? []), ...part.entries])
  t.strictSame([...found.keys()], [1, 2, 3])
  for (const [partition, entries] of logs)
    t.strictSame(
      found
        .get(partition)
        ?.map(({ payload, hash, ...entry }) => ({ ...entry, payload: [...payload], hash: [...hash] })),
      entries.map(({ payload, hash, ...entry }) => ({ ...entry, payload: [...payload], hash: [...hash] })),
    )
  t.match(await summaryOf(bytes), {
    cluster,
    token: '1:202,2:2,3:113',
    entries: 317,
    events: 310,
    commands: 310,
    bytes: bytes.length,
    takenAt: '1970-01-01T00:00:00.000Z',
  })
  t.equal((await summaryOf(await bytesOf({ page: 1000 }))).hash, (await summaryOf(bytes)).hash)
})

t.test('a flipped bit is found wherever it is, and the entry is named', async t => {
  const bytes = await bytesOf()
  const marks = [0, 5, 19, 20, 25, bytes.length - 1, bytes.length - 5, bytes.length - 100]
  for (let at = 400; at < bytes.length; at += 997) marks.push(at)
  for (const at of marks) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] ?? 0) ^ 1
    await t.rejects(summaryOf(damaged), { code: 'FILE_DAMAGED', message: /^file, byte \d+/ }, `byte ${at}`)
  }
  // The data of one event.
  const at = bytes.indexOf('{"by":57}')
  const damaged = Buffer.from(bytes)
  damaged[at + 6] = '9'.charCodeAt(0)
  await t.rejects(summaryOf(damaged), {
    code: 'FILE_DAMAGED',
    message: /, partition 1, index 59: its checksum is another$/,
  })
})

t.test('a cut one is refused, and says where it ends', async t => {
  const bytes = await bytesOf()
  for (const length of [0, 10, 19, 200, bytes.length >> 1, bytes.length - 1])
    await t.rejects(summaryOf(bytes.subarray(0, length)), { code: 'FILE_DAMAGED' }, `${length} bytes`)
  await t.rejects(summaryOf(Buffer.concat([bytes, bytes.subarray(19)])), /it follows the end/)
  // At the end of a frame: everything that is there is good.
  const frame = bytes.readUInt32BE(19) + 8
  await t.rejects(
    summaryOf(bytes.subarray(0, 19 + frame)),
    /partition 1, index 1: the backup is cut off: its end is missing/,
  )
})

t.test('what fails on the way is told to the reader, and leaves no file', async t => {
  const file = join(t.testdir(), 'x.backup')
  const failing = writeBackup({ copy: copyOf({ failing: true }), settings: cluster, timeMs: 0, signal })
  await t.rejects(saveBackup(failing, file, { signal }), /the disk is gone/)
  t.strictSame(readdirSync(join(file, '..')), [])
  const bytes = await bytesOf()
  await saveBackup(pieces(bytes), file, { signal })
  t.match(await verifyBackup(file), { entries: 317 })
  await t.rejects(saveBackup(pieces(bytes), file, { signal }), {
    code: 'INVALID_ARGUMENT',
    message: /is there already/,
  })
  await t.rejects(verifyBackup(join(file, 'no')), { code: 'INVALID_ARGUMENT' })
})

t.test('of two that write the same file one ends, and what it leaves is whole', async t => {
  const file = join(t.testdir(), 'x.backup')
  const bytes = await bytesOf()
  const gate = Promise.withResolvers<void>()
  const slow = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 5000)
    await gate.promise
    yield bytes.subarray(5000)
  }
  const first = saveBackup(slow(), file, { signal })
  const refused = t.rejects(first, { code: 'INVALID_ARGUMENT', message: /another one writes/ })
  await eventually(() => existsSync(`${file}.part`), 'the first has begun')
  await saveBackup(pieces(bytes), file, { signal })
  gate.resolve()
  await refused
  t.match(await verifyBackup(file), { entries: 317 })
  t.strictSame(readdirSync(join(file, '..')), ['x.backup'])
})

const restore = async (bytes: Buffer, directory: string) =>
  await restoreBackup(pieces(bytes), 'file', directory, { log: silentLog, signal })

t.test('restored, it is the same history at the same positions, under a new name', async t => {
  const directory = join(t.testdir(), 'new')
  const summary = await restore(await bytesOf(), directory)
  t.match(summary, { entries: 317, clusterId: /^[0-9a-f-]{36}$/ })
  t.not(summary.clusterId, 'old')
  const { store, identity, close } = await openDataDirectory(directory, silentLog)
  t.equal(identity.peerId, summary.peerId)
  for (const [partition, entries] of logs) {
    const recovered = store.recover().find(found => found.partition === partition)
    t.match(recovered, {
      lastIndex: entries.length + 1,
      hardState: { commit: entries.length + 1, vote: null, term: (entries.at(-1)?.term ?? 0) + 1 },
    })
    t.strictSame(recovered?.configurations.at(-1)?.configuration, {
      voters: [`${identity.peerId}/${store.storageId}`],
      learners: [],
    })
    const kept = store.log(partition).entries(1, entries.length, Number.MAX_SAFE_INTEGER)
    t.strictSame(
      kept.map(({ index, hash }) => [index, [...hash]]),
      entries.map(({ index, hash }) => [index, [...hash]]),
    )
  }
  await close()

  await t.rejects(restore(await bytesOf(), directory), {
    code: 'INVALID_ARGUMENT',
    message: /is not empty/,
  })
  const node = await createNode({ topic: 'test', dataDirectory: directory, aggregates: [counter] })
  t.teardown(() => node.close())
  t.equal(node.clusterId, summary.clusterId)
  await node.execute('counter', 'new', { type: 'Add', data: { by: 1 } })
  t.match(await node.loadEvents('counter', a, { limit: 2 }), [
    {
      sequence: 1,
      position: { partition: 1, index: 3 },
      commandId: `c-${a}-1`,
      time: '2023-11-14T22:13:20.001Z',
    },
    { sequence: 2, metadata: { user: 'ann' } },
  ])
})

t.test('half a restore starts no node; it begins anew, or leaves nothing', async t => {
  const bytes = await bytesOf()
  const directory = join(t.testdir(), 'half')
  const damaged = Buffer.from(bytes)
  damaged[bytes.length >> 1] = (damaged[bytes.length >> 1] ?? 0) ^ 1
  await t.rejects(restore(damaged, directory), { code: 'FILE_DAMAGED' })
  t.strictSame(readdirSync(directory), ['lock'])

  // As a crash leaves it.
  mkdirSync(directory, { recursive: true })
  await restore(bytes, directory)
  writeFileSync(join(directory, restoringName), '{}\n')
  const starting = createNode({ topic: 'test', dataDirectory: directory, aggregates: [counter] })
  t.teardown(() =>
    starting.then(
      node => node.close(),
      () => {},
    ),
  )
  await t.rejects(starting, {
    code: 'STORE_CORRUPT',
    message: /holds half of a backup/,
  })
  await restore(bytes, directory)
  t.notOk(existsSync(join(directory, restoringName)))
  const { store, close } = await openDataDirectory(directory, silentLog)
  t.equal(store.recover().length, 4)
  await close()
})
