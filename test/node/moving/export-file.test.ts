// The file of an export: it gives back what went in, proves itself line by line, and goes on where it was cut.
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { EventEnvelope } from '../../../src/core/event.ts'
import { createContentHash } from '../../../src/node/moving/content-hash.ts'
import { type ExportFormatName, exportFormats } from '../../../src/node/moving/export-format.ts'
import { readExport } from '../../../src/node/moving/export-reader.ts'
import {
  type ExportOptions,
  exportToFile,
  exportToStream,
  partOf,
} from '../../../src/node/moving/run-export.ts'
import { gather } from '../../support/gather.ts'
import { someEvents, sourceOf } from './some-events.ts'

const signal = new AbortController().signal
const all = { from: '', types: null, signal }
const optionsOf = (format: ExportFormatName): ExportOptions => ({ ...all, format })

async function exported(events: readonly EventEnvelope[], options: ExportOptions): Promise<string> {
  let text = ''
  const put = async (more: string): Promise<void> => {
    text += more
  }
  await exportToStream(sourceOf(events), put, options)
  return text
}

const read = async (text: string | Buffer) => await gather(readExport(chunks(Buffer.from(text)), 'file'))

/** Small ones, so that lines are cut everywhere. */
async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1021) yield bytes.subarray(at, at + 1021)
}

for (const format of exportFormats) {
  t.test(`${format}: every event comes back as it was, with its command`, async t => {
    const events = someEvents({ commands: 900 })
    const text = await exported(events, optionsOf(format))
    const parts = await read(text)
    const blocks = parts.flatMap(part => (part.type === 'block' ? [part] : []))
    t.ok(blocks.length > 3, 'in several blocks')
    t.strictSame(
      blocks.flatMap(({ commands }) => commands.flat()),
      events,
    )
    for (const { commands } of blocks)
      for (const command of commands) t.equal(new Set(command.map(({ commandId }) => commandId)).size, 1)
    t.equal(
      blocks.reduce((sum, { commands }) => sum + commands.length, 0),
      1800,
    )
    const [header] = parts
    t.match(header, { type: 'header', header: { format, history: 'cluster-1', scope: 'my scope' } })
    const last = parts.at(-1)
    t.match(last, { type: 'end', progress: { events: events.length, commands: 1800 } })
    for (const { firstLine, commands } of blocks)
      t.match(text.split('\n')[firstLine - 1], JSON.stringify(commands[0]?.[0]?.id).slice(1, -1))
  })

  t.test(
    `${format}: no line can be changed, lost, doubled or moved without its number being told`,
    async t => {
      const lines = (await exported(someEvents({ commands: 400 }), optionsOf(format))).trimEnd().split('\n')
      const checkpoint = lines.findIndex((line, place) => place > 0 && line.includes('"block":'))
      t.ok(checkpoint > 100)
      const fails = async (changed: readonly string[], line: number, name: string): Promise<void> => {
        const text = `${changed.join('\n')}\n`
        await t.rejects(read(text), { code: 'FILE_DAMAGED', details: { file: 'file', line } }, name)
      }
      const withLine = (place: number, change: (line: string) => string): string[] =>
        lines.map((line, at) => (at === place ? change(line) : line))
      /** Another digit in a place that is no less valid JSON. */
      const otherDigit = (line: string): string =>
        line.replace(/\d(?=\D*$)/, digit => String((Number(digit) + 1) % 10))
      for (const place of [
        0,
        1,
        2,
        57,
        checkpoint - 1,
        checkpoint,
        checkpoint + 1,
        lines.length - 2,
        lines.length - 1,
      ]) {
        await fails(withLine(place, otherDigit), place + 1, `a digit of line ${place + 1}`)
        await fails(
          withLine(place, line => `${line} `),
          place + 1,
          `a blank behind line ${place + 1}`,
        )
      }
      for (const place of [1, 57, checkpoint - 1]) {
        await fails(lines.toSpliced(place, 1), place + 1, `line ${place + 1} lost`)
        await fails(lines.toSpliced(place, 0, lines[place] ?? ''), place + 2, `line ${place + 1} doubled`)
        const swapped = lines.toSpliced(place - 1, 2, lines[place] ?? '', lines[place - 1] ?? '')
        await fails(swapped, place === 1 ? 1 : place, `lines ${place} and ${place + 1} changed places`)
      }
      await fails(lines.toSpliced(checkpoint, 1), checkpoint + 1, 'a checkpoint lost')
      await fails([...lines, '{}'], lines.length + 1, 'something behind the end')
      await fails(lines.slice(0, 100), 100, 'cut between two lines')
      const whole = `${lines.join('\n')}\n`
      for (const bytes of [0, 1, 200, whole.length >> 1, whole.length - 1])
        await t.rejects(
          read(Buffer.from(whole).subarray(0, bytes)),
          { code: 'FILE_DAMAGED' },
          `cut at ${bytes}`,
        )
      await t.rejects(read('hello\n'), /does not begin an export/)
      await t.resolves(read(whole))
    },
  )
}

t.test('CloudEvents have what the specification asks for', async t => {
  const text = await exported(someEvents({ commands: 30 }), optionsOf('cloudevents'))
  for (const line of text.trimEnd().split('\n')) {
    const { data, ...attributes } = JSON.parse(line) as Record<string, unknown>
    t.ok(data !== undefined)
    t.match(attributes, {
      specversion: '1.0',
      id: /./,
      source: '/glyn/my%20scope',
      type: /./,
      datacontenttype: 'application/json',
    })
    for (const [name, value] of Object.entries(attributes)) {
      t.match(name, /^[a-z0-9]{1,20}$/)
      t.ok(
        typeof value === 'string' || (Number.isInteger(value) && Math.abs(value as number) < 2 ** 31),
        name,
      )
      // The type and the id of an event are the user's own.
      if (typeof value === 'string' && name === 'metadata')
        t.notMatch(value, /[\p{Cc}\p{Noncharacter_Code_Point}]/u, name)
    }
  }
})

t.test(
  'the hash is that of the events, in whatever order and format they come, and of nothing else',
  async t => {
    const events = someEvents({ commands: 60 })
    const hashOf = (some: readonly EventEnvelope[]): string => {
      const content = createContentHash()
      for (const event of some) content.add(event)
      return content.text()
    }
    const hash = hashOf(events)
    t.match(hash, /^sha256-sum:[0-9a-f]{64}$/)
    t.equal(hashOf([...events].reverse()), hash)
    t.equal(hashOf(events.map(event => ({ ...event, position: { partition: 9, index: 9 } }))), hash)
    t.not(hashOf(events.slice(1)), hash)
    const [first] = events
    if (first === undefined) throw new Error('no event')
    for (const other of [
      { data: { n: 1 } },
      { type: 'Other' },
      { version: 3 },
      { metadata: { trace: 'x' } },
      { commandId: 'c' },
      { time: new Date(0).toISOString() },
      { sequence: 5 },
      { aggregate: { type: 'counter', id: 'x' } },
    ])
      t.not(hashOf([{ ...first, ...other }, ...events.slice(1)]), hash, JSON.stringify(other))
    const half = createContentHash()
    for (const event of events.slice(0, 30)) half.add(event)
    const whole = createContentHash(half.text())
    for (const event of events.slice(30)) whole.add(event)
    t.equal(whole.text(), hash, 'it can be gone on with')
  },
)

const inFolder = (t: Test): string => join(t.testdir(), 'events.ndjson')

t.test('an interrupted export goes on where it was, whatever of its last lines is there', async t => {
  const events = someEvents({ commands: 1500 })
  for (const format of exportFormats) {
    const options = optionsOf(format)
    const file = inFolder(t)
    const expected = (await exported(events, options)).split('\n').slice(1).join('\n')
    // The first line has the moment in it, and the checkpoints prove that, too.
    const events1 = (text: string): string[] =>
      text.split('\n').filter(line => line.includes('commandid') || line.includes('commandId'))
    await t.rejects(exportToFile(sourceOf(events, { after: 3000 }), file, options), /lost/)
    t.notOk(existsSync(file), 'what is not whole has not its name')
    for (const bytes of [2, 0, 70_000, 1]) {
      const part = readFileSync(partOf(file))
      truncateSync(partOf(file), part.length - bytes)
      await t.rejects(exportToFile(sourceOf(events, { after: 300 }), file, options), /lost/)
    }
    const summary = await exportToFile(sourceOf(events), file, options)
    t.ok(summary.resumedAfter >= 500, `it did not begin anew: ${summary.resumedAfter}`)
    t.notOk(existsSync(partOf(file)))
    const text = readFileSync(file, 'utf8')
    t.strictSame(events1(text), events1(expected))
    t.match((await read(text)).at(-1), { type: 'end', progress: { events: events.length, commands: 3000 } })
    await t.rejects(exportToFile(sourceOf(events), file, options), { code: 'INVALID_ARGUMENT' })
  }
})

t.test(
  'a part that was damaged is gone on with before the damage; that of another export is not',
  async t => {
    const events = someEvents({ commands: 1500 })
    const options = optionsOf('ndjson')
    const file = inFolder(t)
    await t.rejects(exportToFile(sourceOf(events, { after: 3000 }), file, options), /lost/)
    const bytes = readFileSync(partOf(file))
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    writeFileSync(partOf(file), bytes)
    for (const [other, why] of [
      [{ ...options, format: 'cloudevents' }, /its format is "ndjson", not "cloudevents"/],
      [{ ...options, types: ['counter'] }, /its types is null, not \["counter"\]/],
      [{ ...options, from: '1:5' }, /it begins after "", not "1:5"/],
    ] as const)
      await t.rejects(exportToFile(sourceOf(events), file, other), { code: 'INVALID_ARGUMENT', message: why })
    await t.rejects(exportToFile(sourceOf(events, { history: 'cluster-2' }), file, options), /its history is/)
    const summary = await exportToFile(sourceOf(events), file, options)
    t.ok(summary.resumedAfter > 0 && summary.resumedAfter < 2500, String(summary.resumedAfter))
    t.match((await read(readFileSync(file))).at(-1), { type: 'end', progress: { events: events.length } })
  },
)

t.test('filters, tokens, nothing at all', async t => {
  const events = someEvents({ commands: 30 })
  const counters = events.filter(({ aggregate }) => aggregate.type === 'counter')
  const eventsIn = async (options: Partial<ExportOptions>): Promise<unknown[]> =>
    (await read(await exported(events, { ...optionsOf('ndjson'), ...options }))).flatMap(part =>
      part.type === 'block' ? part.commands.flat() : [],
    )
  t.strictSame(await eventsIn({ types: ['counter'] }), counters)
  const after = events.filter(({ position }) => position.index > (position.partition === 1 ? 20 : 60))
  t.strictSame(await eventsIn({ from: '2:60,1:20' }), after)
  t.strictSame(await eventsIn({ types: ['nobody'] }), [])
  const summary = await exportToStream(sourceOf(events), async () => {}, {
    ...optionsOf('ndjson'),
    from: '1:1000,2:1000',
  })
  t.match(summary, { events: 0, token: '1:1000,2:1000', hash: `sha256-sum:${'0'.repeat(64)}` })
})
