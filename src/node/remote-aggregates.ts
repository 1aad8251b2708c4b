// The requests that a leader answers for others, and how to ask for them: one wire form for nodes and for clients.
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import type { Outcome } from '../core/outcome.ts'
import type { StoredEvent } from '../core/record.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { AggregateHost, LoadedState } from '../partition/aggregate-host.ts'
import type { LeaderWait } from '../registry/leader-wait.ts'
import { refuseOwnNames } from './check-arguments.ts'
import { type RemoteAppends, requestAppends } from './remote-appends.ts'

const executeMethod = 'aggregate.execute'
const loadMethod = 'aggregate.load'
const eventsMethod = 'aggregate.events'
const sequenceMethod = 'aggregate.sequence'
const commandMethod = 'aggregate.command'

export interface EventRange {
  readonly fromSequence: number
  readonly limit: number
}

/** Bodies are JSON: the same texts that the command line and HTTP speak. */
export interface RemoteAggregates {
  execute(peerId: string, partition: number, command: CommandEnvelope, timeoutMs: number): Promise<Outcome>
  load(peerId: string, partition: number, aggregate: AggregateKey, timeoutMs: number): Promise<LoadedState>
  loadEvents(
    peerId: string,
    partition: number,
    request: { readonly aggregate: AggregateKey } & EventRange,
    timeoutMs: number,
  ): Promise<EventPage>
  sequenceOf(peerId: string, partition: number, aggregate: AggregateKey, timeoutMs: number): Promise<number>
  readCommand(
    peerId: string,
    partition: number,
    command: { readonly aggregate: AggregateKey; readonly commandId: string },
    timeoutMs: number,
  ): Promise<readonly StoredEvent[]>
  readonly append: RemoteAppends
}

/** `isCut`: there may be more within the range; ask again after the last. */
export interface EventPage {
  readonly events: readonly StoredEvent[]
  readonly isCut: boolean
}

/** Bytes of event data in one page, so that an answer fits a frame. */
const pageBytesMax = 1024 * 1024

/** Events read for one page. Reads are synchronous: a longer one would stop the node, elections included. */
const pageEventsMax = 1000

/** The first page of the range. */
export async function readPage(
  range: EventRange,
  read: (range: EventRange) => Promise<readonly StoredEvent[]>,
): Promise<EventPage> {
  const limit = Math.min(range.limit, pageEventsMax)
  const found = await read({ ...range, limit })
  const { events, isCut } = cutPage(found)
  return { events, isCut: isCut || (limit < range.limit && found.length >= limit) }
}

/** As many of the events as fit one page, at least one if there is any. */
function cutPage(events: readonly StoredEvent[]): EventPage {
  let bytes = 0
  let count = 0
  for (const event of events) {
    bytes += event.data.length + event.metadata.length + 300
    if (bytes > pageBytesMax && count > 0) break
    count += 1
  }
  return { events: events.slice(0, count), isCut: count < events.length }
}

/** All events of the range, page by page. */
export async function collectPages(
  range: EventRange,
  read: (range: EventRange) => Promise<EventPage>,
): Promise<readonly StoredEvent[]> {
  const found: StoredEvent[] = []
  for (;;) {
    const fromSequence = range.fromSequence + found.length
    const page = await read({ fromSequence, limit: range.limit - found.length })
    found.push(...page.events)
    if (!page.isCut || found.length >= range.limit) return found
  }
}

export function createRemoteAggregates(rpc: Rpc): RemoteAggregates {
  const ask = async <T>(peerId: string, method: string, body: unknown, timeoutMs: number): Promise<T> =>
    decode<T>(await rpc.request(peerId, method, encode(body), { timeoutMs }))
  return {
    execute: (peerId, partition, command, timeoutMs) =>
      ask(peerId, executeMethod, { partition, command }, timeoutMs),
    load: (peerId, partition, aggregate, timeoutMs) =>
      ask(peerId, loadMethod, { partition, aggregate }, timeoutMs),
    loadEvents: (peerId, partition, request, timeoutMs) =>
      ask(peerId, eventsMethod, { partition, ...request }, timeoutMs),
    sequenceOf: (peerId, partition, aggregate, timeoutMs) =>
      ask(peerId, sequenceMethod, { partition, aggregate }, timeoutMs),
    readCommand: (peerId, partition, command, timeoutMs) =>
      ask(peerId, commandMethod, { partition, ...command }, timeoutMs),
    append: request => requestAppends(rpc, request),
  }
}

export function serveAggregates(
  rpc: Rpc,
  init: {
    readonly host: AggregateHost
    readonly checkPartition: (partition: number, aggregate: AggregateKey) => void
    readonly leaderWait: LeaderWait
    readonly isMember: (peerId: string) => boolean
  },
): void {
  const { host, checkPartition, leaderWait, isMember } = init
  servePlaces(rpc, init)
  rpc.serve(executeMethod, async (from, body) => {
    const { partition, command } = decode<{ partition: number; command: CommandEnvelope }>(body)
    if (!isMember(from)) refuseWhatNodesSend(command)
    checkPartition(partition, command.aggregate)
    return encode(await leaderWait.run(partition, () => host.execute(partition, command)))
  })
  rpc.serve(loadMethod, async (_from, body) => {
    const { partition, aggregate } = decode<{ partition: number; aggregate: AggregateKey }>(body)
    checkPartition(partition, aggregate)
    return encode(await leaderWait.run(partition, () => host.load(partition, aggregate)))
  })
  rpc.serve(eventsMethod, async (_from, body) => {
    const { partition, aggregate, fromSequence, limit } = decode<
      { partition: number; aggregate: AggregateKey } & EventRange
    >(body)
    checkPartition(partition, aggregate)
    const page = await readPage({ fromSequence, limit }, range =>
      leaderWait.run(partition, () => host.loadEvents(partition, aggregate, range)),
    )
    return encode(page)
  })
}

/** How far one aggregate is, and what one command led to: for nodes that are used as a store. */
function servePlaces(
  rpc: Rpc,
  { host, checkPartition, leaderWait }: Parameters<typeof serveAggregates>[1],
): void {
  rpc.serve(sequenceMethod, async (_from, body) => {
    const { partition, aggregate } = decode<{ partition: number; aggregate: AggregateKey }>(body)
    checkPartition(partition, aggregate)
    return encode(await leaderWait.run(partition, () => host.sequenceOf(partition, aggregate)))
  })
  rpc.serve(commandMethod, async (_from, body) => {
    const { partition, aggregate, commandId } = decode<{
      partition: number
      aggregate: AggregateKey
      commandId: string
    }>(body)
    checkPartition(partition, aggregate)
    return encode(
      await leaderWait.run(partition, () => host.readCommand(partition, { aggregate, commandId })),
    )
  })
}

/** A client sends neither what the reactions of nodes send each other nor what looks like it. */
function refuseWhatNodesSend({ aggregate, commandId, keepsOutcome }: CommandEnvelope): void {
  checkAggregateKey(aggregate)
  checkName('command id', commandId)
  refuseOwnNames({ type: aggregate.type, commandId })
  if (keepsOutcome === undefined) return
  throw new GlynError('INVALID_ARGUMENT', 'keepsOutcome is set; allowed: from nodes of the cluster')
}

const decoder = new TextDecoder()
/** Small ones share a buffer, which a TextEncoder cannot do. They are copied into their frame at once. */
const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const decode = <T>(body: Uint8Array): T => JSON.parse(decoder.decode(body)) as T
