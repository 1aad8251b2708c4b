// G4 on a real process: killed with SIGKILL at random moments while commands and a query run, each event is counted once, or
// parked once; and once more is nothing counted twice when what is parked is handled after all.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ControlClient, createControlClient } from '../../src/http/control-client.ts'
import { createRandom } from '../store/random.ts'
import { createWorkplace, eventually } from './real-node.ts'

const kills = 4
const writers = 8
const accounts = 20
const killAfterMsMax = 900
const seed = Number(process.env['GLYN_SEED'] ?? Math.floor(Math.random() * 1_000_000))

const till = `
import { defineAggregate } from 'glyn-node'
export default defineAggregate({
  type: 'till',
  emptyState: {},
  handle: (state, command) => command.type === 'Twice'
    ? [{ type: 'Paid', data: {} }, { type: 'Paid', data: {} }]
    : { type: command.type === 'Poison' ? 'Poisoned' : 'Paid', data: {} },
  apply: state => state,
})
`

const seen = (flag: string): string => `
import { existsSync } from 'node:fs'
import { defineQuery } from 'glyn-node'
export default defineQuery({
  name: 'seen',
  onError: 'park',
  attempts: 1,
  init(db) {
    db.exec('create table if not exists seen (id text primary key, times integer not null)')
  },
  handle(_, events, { db }) {
    for (const event of events) {
      if (event.type === 'Poisoned' && !existsSync(${JSON.stringify(flag)})) throw new Error('poison')
      db.prepare('insert into seen values (?, 1) on conflict do update set times = times + 1').run(event.id)
    }
  },
})
`

t.test(`${kills} kills, each event counted once (GLYN_SEED=${seed})`, async t => {
  const random = createRandom(seed)
  const workplace = createWorkplace()
  t.teardown(() => workplace.close())
  const config = join(workplace.folder, 'config')
  const flag = join(workplace.folder, 'mended')
  for (const [folder, file, text] of [
    ['aggregates', 'till.ts', till],
    ['queries', 'seen.ts', seen(flag)],
  ] as const) {
    mkdirSync(join(config, folder), { recursive: true })
    writeFileSync(join(config, folder, file), text)
  }
  const node = await workplace.start('killed', ['--config', config])
  let acknowledged = 0
  let isOver = false

  /** Commands without an end; one that fails because the node is dead is given up. */
  const write = async (own: ControlClient): Promise<void> => {
    while (!isOver) {
      const id = `acc-${Math.floor(random() * accounts)}`
      const dice = random()
      const type = dice < 0.01 ? 'Poison' : dice < 0.3 ? 'Twice' : 'Pay'
      try {
        await own.execute('till', id, { type, data: {} }, { timeoutMs: 5000 })
        acknowledged += 1
      } catch {
        return
      }
    }
  }

  for (let kill = 1; kill <= kills; kill += 1) {
    const own = createControlClient({ socketPath: node.ready.control })
    const writing = Array.from({ length: writers }, () => write(own))
    await new Promise(resolve => setTimeout(resolve, random() * killAfterMsMax))
    await node.kill('SIGKILL')
    await Promise.all(writing)
    await own.close()
    await node.restart()
  }
  isOver = true
  const last = createControlClient({ socketPath: node.ready.control })
  t.teardown(() => last.close())
  // Who answers has committed what was there before: until then nobody knows of all of it.
  for (let place = 0; place < accounts; place += 1) {
    await last.execute('till', `acc-${place}`, { type: 'Pay', data: {} }, { timeoutMs: 60_000 })
    acknowledged += 1
  }
  await eventually(async () => {
    const [query] = (await last.status()).queries
    return query?.lag === 0 && query.state === 'running'
  }, 'the query has caught up')

  const history: string[] = []
  const signal = AbortSignal.timeout(60_000)
  for await (const event of last.subscribe({ from: 'start', until: 'now', signal })) history.push(event.id)
  t.ok(
    history.length >= acknowledged && acknowledged > 0,
    `${history.length} events of ${acknowledged} commands`,
  )

  const read = async (statement: string) =>
    (await last.queries.sql('seen', statement, {}, { limit: 100_000, timeoutMs: 60_000 })).rows
  const counted = await read('select id, times from seen')
  const parked = await read(`select e.value ->> 'id' as id from glyn_parked, json_each(events) e`)
  t.strictSame(
    counted.filter(({ times }) => times !== 1),
    [],
    'none is counted twice',
  )
  const idsOf = (rows: typeof counted): readonly string[] => rows.map(({ id }) => String(id))
  t.strictSame([...idsOf(counted), ...idsOf(parked)].sort(), [...history].sort(), 'each is counted or parked')
  t.comment(`${counted.length} counted, ${parked.length} parked after ${kills} kills`)

  writeFileSync(flag, '')
  const { failed, counts } = await last.queries.retryParked('seen', { all: true })
  t.strictSame({ failed, counts }, { failed: [], counts: { failed: 0, held: 0 } })
  const all = await read('select id, times from seen')
  t.strictSame(
    all.filter(({ times }) => times !== 1),
    [],
    'none is counted twice',
  )
  t.strictSame(idsOf(all).slice().sort(), [...history].sort(), 'each is counted once')
})
