// Handlers on a whole node: in order, at least once, each on its own, and on from where they were.
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t from 'tap'
import type { Accepted } from '../../src/index.ts'
import { eventually } from '../node/memory-cluster.ts'
import { add, createPlace, noteHere, reactionOf } from './on-a-node.ts'

t.setTimeout(300_000)

const noting = (name: string, more = ''): string => `
import { defineHandler } from 'glyn-node'
import { note } from './_note.ts'
export default defineHandler({
  name: '${name}',
  ${more}
  handle(event, { idempotencyKey, attempt }) {
    note('${name}', event.id + ' ' + idempotencyKey + ' ' + attempt)
  },
})`

t.test('files: each runs for itself, and none holds up commands or another handler', async t => {
  const place = createPlace(t)
  place.write({
    // The original's form of a query works for handlers too.
    'handlers/plain.ts': `import { note } from './_note.ts'
      export default async (event, { idempotencyKey, attempt }) => note('plain', event.id + ' ' + idempotencyKey + ' ' + attempt)`,
    'handlers/loops.ts': `export default { name: 'loops', timeoutMs: 200, handle() { for (;;) {} } }`,
    'handlers/hangs.ts': `export default { name: 'hangs', timeoutMs: 200, handle: () => new Promise(() => {}) }`,
    'handlers/exits.ts': `import { note } from './_note.ts'
      export default { name: 'exits', handle(event, { attempt }) {
        if (attempt === 1) process.exit(3)
        note('exits', event.id + ' ' + attempt) } }`,
    'handlers/fails.ts': `import { note } from './_note.ts'
      export default { name: 'fails', handle(event, { attempt }) {
        if (attempt === 1) throw new Error('attempt 1')
        if (attempt === 2) throw Object.assign({}, { of: 2n })
        note('fails', event.id + ' ' + attempt) } }`,
    'handlers/skips.ts': `import { note } from './_note.ts'
      export default { name: 'skips', onError: 'skip', handle(event, { attempt }) {
        note('skips', event.id + ' ' + attempt)
        if (event.sequence === 1) throw new Error('never this one') } }`,
    'handlers/stops.ts': `import { note } from './_note.ts'
      export default { name: 'stops', onError: 'stop', handle(event) {
        note('stops', event.id)
        throw new Error('no more') } }`,
    'handlers/broken.ts': `export default {`,
    'handlers/twin-a.ts': noting('twin'),
    'handlers/twin-b.ts': noting('twin'),
    'queries/events.ts': `export default { name: 'events',
      init: db => db.exec('create table if not exists seen (id text)'),
      handle(id, events, { db }) {
        for (const event of events) db.prepare('insert into seen values (?)').run(event.id) },
      answer: { seen: db => db.prepare('select id from seen').pluck().all() } }`,
    'processes/wrong.ts': `export default { name: 'wrong' }`,
  })
  const node = await place.start({ partitions: 1 })
  for (let n = 1; n <= 3; n += 1) await add(node, 'a')
  const expected = [1, 2, 3].map(n => `counter/a/${n} plain:counter/a/${n} 1`)
  await eventually(() => place.notes('plain').length >= 3, 'plain has handled all')
  t.strictSame(place.notes('plain'), expected, 'in order, with a key of each event')
  await eventually(() => place.notes('fails').length >= 3, 'fails has handled all')
  t.strictSame(place.notes('fails'), ['counter/a/1 3', 'counter/a/2 3', 'counter/a/3 3'])
  t.notOk(
    place.lines.some(({ message }) => /handler fails: .*its thread is started again/.test(message)),
    'whatever it throws is no end of its thread',
  )
  await eventually(() => place.notes('exits').length >= 1, 'exits has handled one')
  t.equal(place.notes('exits')[0], 'counter/a/1 2')
  await eventually(() => place.notes('skips').length >= 7, 'skips has given up the first')
  t.strictSame(
    place.notes('skips'),
    [1, 2, 3, 4, 5].map(n => `counter/a/1 ${n}`).concat('counter/a/2 1', 'counter/a/3 1'),
  )
  await eventually(async () => (await reactionOf(node, 'loops'))?.lastError !== null, 'loops was ended')
  await eventually(async () => (await reactionOf(node, 'hangs'))?.lastError !== null, 'hangs was given up')
  await eventually(async () => (await reactionOf(node, 'stops'))?.state === 'stopped', 'stops has stopped')
  await eventually(async () => (await reactionOf(node, 'broken'))?.state === 'failed', 'broken was tried')

  const began = performance.now()
  for (let n = 0; n < 20; n += 1) await add(node, 'b')
  t.ok(performance.now() - began < 20_000, 'commands go on')
  await eventually(() => place.notes('plain').length >= 23, 'so does every other handler')

  const token = ((await add(node, 'c')) as Accepted).token
  const seen = (await node.query('events', 'seen', {}, { after: token, timeoutMs: 60_000 })) as string[]
  const foreign = seen.filter(id => !id.startsWith('counter/'))
  t.strictSame(
    [seen.length, foreign],
    [24, []],
    'a query that reads the log itself is shown no entries of ours',
  )
  const database = new Sqlite(join(place.folder, 'data', 'glyn.db'), { readonly: true })
  t.teardown(() => database.close())
  const own = database.prepare("select count(*) from events where aggregate_type like 'glyn.%'").pluck()
  t.ok(Number(own.get()) > 0, 'though there are some')

  t.match(await reactionOf(node, 'plain'), {
    kind: 'handler',
    state: 'running',
    partitions: 1,
    lastError: null,
  })
  t.match(await reactionOf(node, 'loops'), { lastError: { message: /did not return within 200 ms/ } })
  t.match(await reactionOf(node, 'hangs'), { state: 'retrying', lastError: { message: /within 200 ms/ } })
  t.match(await reactionOf(node, 'stops'), { state: 'stopped', lastError: { message: 'no more' } })
  t.strictSame(place.notes('stops'), ['counter/a/1'])
  const ofTwins = async (): Promise<readonly string[]> =>
    (await node.status()).reactions
      .filter(({ file }) => file?.includes('twin'))
      .map(({ state }) => state)
      .sort()
  await eventually(
    async () => (await ofTwins()).join() === 'failed,running',
    'of two with one name the first runs, and the other says so',
  )
  const { problems, reactions } = await node.status()
  t.match(
    reactions.find(({ file }) => file?.endsWith('broken.ts')),
    { state: 'failed', lastError: { message: /syntax error/ } },
  )
  t.ok(
    problems.some(problem => /handler stops is stopped/.test(problem)),
    problems.join('\n'),
  )
  t.ok(problems.some(problem => /wrong\.ts: .*correlate is missing/.test(problem)))
  t.ok(place.lines.some(({ message }) => /handler twin is also defined by .*twin-[ab]\.ts/.test(message)))
})

t.test('a handler goes on from where it was; a new one from now, or from the beginning', async t => {
  const place = createPlace(t)
  place.write({ 'handlers/first.ts': noting('first') })
  const before = await place.start()
  for (const id of ['a', 'b', 'c', 'd']) await add(before, id)
  await eventually(() => place.notes('first').length === 4, 'all are handled')
  await eventually(async () => (await reactionOf(before, 'first'))?.lag === 0, 'and its node knows it')
  await before.close()

  place.write({
    'handlers/new.ts': noting('new'),
    'handlers/old.ts': noting('old', `startFrom: 'beginning', filter: { aggregateTypes: ['counter'] },`),
    'handlers/other.ts': noting('other', `startFrom: 'beginning', filter: { eventTypes: ['Other'] },`),
  })
  const after = await place.start()
  for (const id of ['a', 'b', 'c', 'd']) await add(after, id)
  await eventually(() => place.notes('old').length === 8, 'from the beginning')
  await eventually(() => place.notes('new').length === 4, 'from now')
  await eventually(() => place.notes('first').length === 8, 'the first goes on')
  const ids = (name: string): string[] => place.notes(name).map(note => note.split(' ')[0] ?? '')
  t.strictSame(
    ids('new').sort(),
    ['a', 'b', 'c', 'd'].map(id => `counter/${id}/2`),
  )
  t.equal(new Set(ids('first')).size, 8, 'none came again: a graceful stop writes down how far it is')
  t.strictSame(place.notes('other'), [])
})

t.test('an event that ends the thread costs no other event its attempts', async t => {
  const place = createPlace(t)
  place.write({
    'handlers/shared.ts': `import { setTimeout as sleep } from 'node:timers/promises'
      import { note } from './_note.ts'
      export default { name: 'shared', onError: 'skip', async handle({ aggregate }) {
        await sleep(aggregate.id === 'poison' ? 50 : 200)
        if (aggregate.id === 'poison') process.exit(3)
        note('shared', aggregate.id) } }`,
  })
  const node = await place.start({ partitions: 4 })
  const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  await Promise.all(['poison', ...ids].map(id => add(node, id)))
  const skipped = () => place.lines.filter(({ message }) => /it is skipped/.test(message))
  // It is not behind, either, as long as it has not begun.
  await eventually(
    () => skipped().length > 0 && new Set(place.notes('shared')).size >= ids.length,
    'all are handled or given up',
  )
  await eventually(async () => (await reactionOf(node, 'shared'))?.lag === 0, 'and its node knows it')
  t.strictSame([...new Set(place.notes('shared'))].sort(), ids)
  t.equal(skipped().length, 1)
  t.match(skipped()[0]?.message, /counter\/poison\/1/)
})

t.test('a thread that is started again reads the file as it is now, under the same name only', async t => {
  const place = createPlace(t)
  const exiting = (name: string): string => `export default { name: '${name}', handle() { process.exit(3) } }`
  place.write({ 'handlers/cured.ts': exiting('cured'), 'handlers/moves.ts': exiting('moves') })
  const node = await place.start({ partitions: 1 })
  for (const name of ['cured', 'moves']) {
    // A start does not wait for files that load slowly.
    await eventually(async () => (await reactionOf(node, name))?.state === 'running', `${name} is loaded`)
  }
  place.write({ 'handlers/cured.ts': noting('cured'), 'handlers/moves.ts': noting('moved') })
  await add(node, 'a')
  await eventually(() => place.notes('cured').length === 1, 'what was cured goes on')
  const isRefused = async (): Promise<boolean> =>
    /moves\.ts: its name is moved now/.test((await reactionOf(node, 'moves'))?.lastError?.message ?? '')
  await eventually(isRefused, 'another name is refused')
  // What was cured notes first, and tells its node afterwards.
  const isCured = async (): Promise<boolean> => (await reactionOf(node, 'cured'))?.state === 'running'
  await eventually(isCured, 'what was cured runs')
  t.equal((await reactionOf(node, 'moves'))?.state, 'failed')
  t.strictSame(place.notes('moved'), [])
})

t.test('the library: handlers and their names', async t => {
  const place = createPlace(t)
  const mail = (): void => noteHere(place, 'mail', 'sent')
  await t.rejects(place.start({ handlers: [mail, { name: 'mail', handle: mail }] }), {
    code: 'INVALID_ARGUMENT',
    message: /handler mail is also defined by a definition given in code/,
  })
  await t.rejects(place.start({ handlers: [{ name: 'X', handle: mail }] }), { message: /name is "X"/ })
  const node = await place.start({ handlers: [mail] })
  await add(node, 'a')
  await eventually(() => place.notes('mail').length === 1, 'it ran')
})
