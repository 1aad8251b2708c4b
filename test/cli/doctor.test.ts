// `doctor`: finds what is wrong with an installation, names it, and says what to do; with nothing wrong it exits 0.
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { DoctorCheck } from '../../src/node/doctor.ts'
import { checkNodeVersion } from '../../src/node/doctor-files.ts'
import { testTiming } from '../node/memory-cluster.ts'
import { directoryOf } from '../support/directory-of.ts'
import { runCli } from '../support/memory-io.ts'

t.setTimeout(300_000)

/** A file of the aggregate `tally`; what it says differs. Another file has another name: modules are loaded once. */
const file = (parts: { readonly apply?: string; readonly more?: string }): string => `
import { defineAggregate } from 'glyn-node'
export default defineAggregate({
  type: 'tally',
  emptyState: { total: 0 },
  snapshotEvery: 2,
  handle: (_, command) => ({ type: command.type, data: command.data }),
  apply: (state, { data }) => (${parts.apply ?? '{ total: state.total + data.by }'}),
  ${parts.more ?? ''}
})
`

interface Installation {
  readonly folder: string
  /** In the place of the file that was there. */
  write(name: string, text: string): Promise<void>
  doctor(
    ...argv: string[]
  ): Promise<{ readonly code: number; readonly out: string; readonly checks: readonly DoctorCheck[] }>
  /** Runs a node for as long as the action takes. */
  running(action: (node: Awaited<ReturnType<typeof createNode>>) => Promise<void>): Promise<void>
}

async function install(t: Test): Promise<Installation> {
  const folder = directoryOf(t)
  const aggregates = join(folder, 'config', 'aggregates')
  await writeFile(join(folder, 'package.json'), '{}')
  const installation: Installation = {
    folder,
    async write(name, text) {
      await rm(aggregates, { recursive: true, force: true })
      await mkdir(aggregates, { recursive: true })
      await writeFile(join(aggregates, name), text)
    },
    async doctor(...argv) {
      const text = await runCli(folder, ['doctor', ...argv])
      const json = await runCli(folder, ['doctor', ...argv, '--json'])
      t.equal(text.code, json.code)
      const { checks, ok } = JSON.parse(json.out) as { ok: boolean; checks: DoctorCheck[] }
      t.equal(ok, json.code === 0)
      return { code: text.code, out: text.out, checks }
    },
    async running(action) {
      const node = await createNode({
        topic: 'test',
        dataDirectory: join(folder, 'data'),
        configDirectory: join(folder, 'config'),
        partitions: 2,
        timing: testTiming,
      })
      try {
        await action(node)
      } finally {
        await node.close()
      }
    },
  }
  await installation.write('one.ts', file({}))
  await installation.running(async node => {
    for (const id of ['a', 'b'])
      for (let n = 0; n < 3; n += 1) await node.execute('tally', id, { type: 'Added', data: { by: 1 } })
  })
  return installation
}

const failures = (checks: readonly DoctorCheck[]) =>
  checks.filter(({ state }) => state === 'failed').map(({ name, text }) => `${name}: ${text}`)

t.test('an installation in order: each check says what it saw, and the exit code is 0', async t => {
  const { doctor, running, folder } = await install(t)
  const { code, out, checks } = await doctor('--deep')
  t.same([code, failures(checks)], [0, []])
  for (const line of [
    /✓ ok +node\.js +version \d+/,
    /✓ ok +identity\.key .*mode 0600/,
    /✓ ok +aggregates +loaded: tally/,
    /✓ ok +history +6 events of 1 kind, all known/,
    /✓ ok +replay +2 aggregates, 6 events: all of them can be read/,
    /✓ ok +snapshots +2 are what the events say/,
    /✓ ok +hash chains +\d+ entries of 3 partitions/,
    /✓ ok +node +it is not running/,
    /All is in order\./,
  ])
    t.match(out, line)
  await running(async node => {
    const socketPath = join(folder, 'data', 'control.sock')
    const server = await createControlServer({ node, socketPath, log: silentLog })
    const alive = await doctor()
    t.same([alive.code, failures(alive.checks)], [0, []])
    t.match(alive.out, /✓ ok +node +\S+, ready, version/)
    t.match(alive.out, /✓ ok +quarantine/)
    await server.close()
  })
})

t.test('a chain with a gap: the file, the type and the step are named', async t => {
  const { doctor, write } = await install(t)
  await write('gap.ts', file({ more: 'upcast: { Added: { 1: data => data, 3: data => data } },' }))
  const { code, out, checks } = await doctor()
  t.equal(code, 1)
  t.match(failures(checks), [
    /aggregates: .*gap\.ts: .*tally: upcast\.Added\[2\] \(version 2 to 3\) is missing; allowed: a function .*a gap/,
    /history: the history has 6 events of tally, and no aggregate of that type is loaded/,
  ])
  t.match(
    out,
    /✗ failed +aggregates[\s\S]*→ correct the file, and start the node again[\s\S]*2 of \d+ checks failed/,
  )
})

t.test(
  'events and versions that the file does not know are found with their counts and first places',
  async t => {
    const { doctor, write, running, folder } = await install(t)
    await write('two.ts', file({ more: 'upcast: { Added: [data => data] },' }))
    await running(async node => {
      for (let n = 0; n < 2; n += 1) await node.execute('tally', 'a', { type: 'Added', data: { by: 1 } })
      await node.execute('tally', 'c', { type: 'Moved', data: { by: 1 } })
    })
    await write('three.ts', file({ more: "events: ['Added']," }))
    const { code, checks } = await doctor('--deep')
    t.equal(code, 1)
    t.match(failures(checks), [
      /history: tally: the history has 2 events Added v2, .* version 1 only \(first: tally\/a, sequence 4, partition \d, index \d+\)/,
      /history: tally: the history has 1 event Moved v1, .* only Added \(first: tally\/c, sequence 1/,
      /replay: 2 aggregates cannot be read: tally\/a, event 4 \(Added v2\): .*; tally\/c, event 1 \(Moved v1\)/,
    ])
    await running(async node => {
      await t.rejects(node.loadAggregate('tally', 'a'), { code: 'AGGREGATE_QUARANTINED' })
      const socketPath = join(folder, 'data', 'control.sock')
      const server = await createControlServer({ node, socketPath, log: silentLog })
      t.match(
        failures((await doctor()).checks).filter(text => text.startsWith('quarantine')),
        [/quarantine: 1 aggregate: tally\/a, event 4: /],
      )
      await server.close()
    })
  },
)

t.test('code that throws is found by a replay only', async t => {
  const { doctor, write } = await install(t)
  await write('five.ts', file({ apply: "data.by === 1 ? (() => { throw new Error('unlucky') })() : state" }))
  t.equal((await doctor()).code, 0, 'nobody knows without a replay')
  const { code, checks, out } = await doctor('--deep')
  t.equal(code, 1)
  t.match(failures(checks), [
    /replay: 2 aggregates cannot be read: tally\/a, event 1 \(Added v1\): .*unlucky; tally\/b, event 1/,
  ])
  t.match(out, /snapshots +0 are what the events say; 2 of other code, ignored/)
})

t.test('a database that was tampered with: the partition and the index are named', async t => {
  const { doctor, folder } = await install(t)
  const database = new Database(join(folder, 'data', 'glyn.db'))
  for (const table of ['log', 'tail'])
    database.prepare(`update ${table} set data = '{"by":9}' where aggregate_id = 'a' and sequence = 2`).run()
  database.close()
  const { code, checks } = await doctor('--deep')
  t.equal(code, 1)
  t.match(failures(checks), [
    /snapshots: 1 are not what the events say: tally\/a, sequence 2: \{"total":2\}, the events say \{"total":10\}/,
    /hash chains: partition \d, index \d+: its content, or the entry before it, does not fit its hash/,
  ])
})

t.test('permissions that let others in, and a database that is no database', async t => {
  const { doctor, folder } = await install(t)
  await chmod(join(folder, 'data', 'identity.key'), 0o644)
  const open = await doctor()
  t.match(failures(open.checks), [/identity\.key: .* has mode 0644: others than its owner have access/])
  t.match(open.out, /→ chmod 600 .*identity\.key/)
  await chmod(join(folder, 'data', 'identity.key'), 0o600)
  await writeFile(join(folder, 'data', 'glyn.db'), 'x'.repeat(8192))
  const broken = await doctor()
  t.match(failures(broken.checks), [/history: store .*glyn\.db: the file is not a SQLite database/])
})

t.test('nothing there yet, and a folder that does not exist', async t => {
  const folder = directoryOf(t)
  await mkdir(join(folder, 'data'), { mode: 0o700 })
  const empty = await runCli(folder, ['doctor'])
  t.match(empty, {
    code: 0,
    out: /! look +config[\s\S]*- skipped +history[\s\S]*Nothing failed; 1 to look at/,
  })
  t.match(await runCli(folder, ['doctor', '--data-dir', 'nowhere']), {
    code: 1,
    out: /✗ failed +data directory +\S+nowhere is not there/,
  })
})

t.test('the version of Node.js', async t => {
  t.match(checkNodeVersion('24.1.0'), { state: 'ok' })
  t.match(checkNodeVersion('22.18.0'), { state: 'ok' })
  t.match(checkNodeVersion('22.17.9'), {
    state: 'failed',
    text: /version 22\.17\.9; allowed: 22\.18 or newer/,
  })
  t.match(checkNodeVersion('20.19.0'), { state: 'failed' })
})
