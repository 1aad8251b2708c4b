// `events`: the history of one aggregate, or of all; with --follow, what comes next.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { EventEnvelope } from '../../core/event.ts'
import { type CommandContext, createPaint, type Io, writeJson, writeLine } from '../io.ts'
import { parseCount } from '../parse-arguments.ts'
import { suggesting } from '../suggest.ts'
import {
  type AggregateClient,
  addPeerOptions,
  addTargetOptions,
  type TargetFlags,
  withAggregateClient,
} from '../target.ts'

const examples = `
Examples:
  $ glyn-node events bank_account acc-1
  $ glyn-node events bank_account acc-1 --from 10        from sequence 10 on
  $ glyn-node events --follow                            all aggregates, and what comes next
  $ glyn-node events --follow --from now --json
  $ glyn-node events --from 3:17,5:2                     after a token

Events of one aggregate come by sequence. Events of all come partition by partition in order; partitions are mixed.`

/** Events asked for at once. */
const pageEvents = 500

interface EventsFlags extends TargetFlags {
  readonly from?: string
  readonly follow?: boolean
  readonly json?: boolean
}

interface Reading {
  readonly io: Io
  readonly client: AggregateClient
  readonly flags: EventsFlags
  readonly signal: AbortSignal
}

export function createEventsCommand({ io }: CommandContext): Command {
  const command = new Command('events')
    .description('Shows the events of an aggregate, or of all aggregates.')
    .argument('[type]', 'the type of the aggregate; all without')
    .argument('[id]', 'its id; all of the type without')
    .option(
      '--from <place>',
      'with an id: a sequence; without: start, now or a token (default: the beginning)',
    )
    .option('--follow', 'go on with new events until stopped')
    .option('--json', 'one JSON object per line')
    .addHelpText('after', examples)
  return addPeerOptions(addTargetOptions(command)).action(
    async (type: string | undefined, id: string | undefined, flags: EventsFlags) => {
      const stop = new AbortController()
      const forget = io.onStopSignal(() => stop.abort())
      try {
        await withAggregateClient(io, flags, async client => {
          const reading: Reading = { io, client, flags, signal: stop.signal }
          if (type !== undefined && id !== undefined) await readAggregate(reading, type, id)
          else await readAll(reading, type)
        })
      } finally {
        forget()
      }
    },
  )
}

async function readAll({ io, client, flags, signal }: Reading, type: string | undefined): Promise<void> {
  const until = flags.follow === true ? {} : { until: 'now' as const }
  let shown = 0
  const filter = type === undefined ? {} : { filter: { aggregateTypes: [type] } }
  const from = flags.from ?? 'start'
  for await (const event of subscribe(client, { from, ...until, ...filter, signal })) {
    shown += 1
    await print(io, flags, event)
  }
  // A type whose file is gone keeps its history, so that an unknown type is no mistake by itself.
  if (shown === 0 && flags.follow !== true && flags.json !== true) {
    const of = type === undefined ? '' : ` of type ${JSON.stringify(type)}`
    await writeLine(io.stderr, `no events${of}${flags.from === undefined ? '' : ` from ${flags.from} on`}`)
  }
}

async function readAggregate(reading: Reading, type: string, id: string): Promise<void> {
  const { io, client, flags, signal } = reading
  let next = flags.from === undefined || flags.from === 'start' ? 1 : parseCount('--from', flags.from, 1e15)
  const first = next
  const readOn = async (): Promise<void> => {
    for (;;) {
      const page = client.loadEvents(type, id, { fromSequence: next, limit: pageEvents, signal })
      const events = await suggesting({ UNKNOWN_AGGREGATE_TYPE: type }, page)
      for (const event of events) await print(io, flags, event)
      next += events.length
      if (events.length < pageEvents) return
    }
  }
  if (flags.follow !== true) {
    await readOn()
    if (next === 1) throw new GlynError('ENTITY_NOT_FOUND', `${type} ${JSON.stringify(id)} has no events`)
    if (next === first && flags.json !== true)
      await writeLine(io.stderr, `no events from sequence ${first} on`)
    return
  }
  // History first would miss what happens before the stream is open; so the stream opens, and wakes a reader of history.
  const events = subscribe(client, { from: 'now', signal })[Symbol.asyncIterator]()
  let coming = events.next()
  coming.catch(() => {})
  await readOn()
  for (;;) {
    const { done, value } = await coming
    if (done === true) return
    if (value.aggregate.type === type && value.aggregate.id === id && value.sequence >= next) await readOn()
    coming = events.next()
  }
}

function subscribe(
  client: AggregateClient,
  options: Parameters<NonNullable<AggregateClient['subscribe']>>[0],
): AsyncIterable<EventEnvelope> {
  if (client.subscribe !== undefined) return client.subscribe(options)
  throw new GlynError(
    'INVALID_ARGUMENT',
    '--peer reads single aggregates; to read all events or to follow, use --data-dir or --url',
  )
}

async function print(io: Io, flags: EventsFlags, event: EventEnvelope): Promise<void> {
  if (flags.json === true) return await writeJson(io.stdout, event)
  const paint = createPaint(io, io.stdout)
  const { partition, index } = event.position
  const place = paint('dim', `${event.time} ${partition}:${index}`)
  const name = `${event.aggregate.type}/${event.aggregate.id} ${event.sequence}`
  await writeLine(io.stdout, `${place} ${name} ${paint('bold', event.type)} ${JSON.stringify(event.data)}`)
}
