// Writes commands of an export so that an aggregate gets them in order, or nothing beyond the first that does not fit: one
// written behind a conflict would stand on a history that is not its own.
//
// Commands of one aggregate go to the store together when it is known to stand exactly before the first of them. Where that
// is not known, the last one is sent first, expecting a sequence that no aggregate has: so it writes nothing, and the answer
// says whether it is there, or how far the aggregate is. What is not beyond that can only be there already, or conflict.
import { LRUCache } from 'lru-cache'
import type { EventEnvelope } from '../../core/event.ts'
import { toEventEnvelope } from '../../store/event-envelope.ts'
import type { GivenAppend, GivenAppendResult } from '../node-api.ts'
import { hashOfEvent } from './content-hash.ts'

export interface ImportCommand {
  readonly events: readonly EventEnvelope[]
  /** Of the first event, in the file. */
  readonly line: number
}

export interface Conflict {
  readonly aggregate: EventEnvelope['aggregate']
  readonly commandId: string
  readonly line: number
  readonly expected: number
  /** The sequence that the aggregate has; null when the command is there with other events. */
  readonly found: number | null
}

export interface BatchResult {
  readonly appended: number
  readonly there: number
  /** The first of each aggregate. */
  readonly conflicts: readonly Conflict[]
}

export type SendAppends = (appends: readonly GivenAppend[]) => Promise<readonly GivenAppendResult[]>

export interface ImportWriter {
  /** Commands of the file in their order. Throws what `send` throws: then the same commands can be written again. */
  write(commands: readonly ImportCommand[]): Promise<BatchResult>
}

/** No aggregate is there. */
const nowhere = Number.MAX_SAFE_INTEGER - 1
/** Aggregates whose end is known; others are asked. */
const knownMax = 100_000

interface Group {
  readonly name: string
  readonly commands: readonly ImportCommand[]
  /** Of the first that does not fit. */
  conflict: Conflict | null
  /** How many are settled. */
  done: number
}

export function createImportWriter(send: SendAppends): ImportWriter {
  /** The sequence of aggregates whose last command was written by this import. */
  const ends = new LRUCache<string, number>({ max: knownMax })

  async function write(commands: readonly ImportCommand[]): Promise<BatchResult> {
    const counts = { appended: 0, there: 0 }
    const groups = groupsOf(commands)
    const unknown = groups.filter(({ name, commands: own }) => ends.get(name) !== expectedOf(own[0]))
    const reached = await probe(unknown)
    await settle(
      unknown.map(group => ({ group, count: countThere(group, reached.get(group) ?? 0) })),
      counts,
    )
    await settle(
      groups.map(group => ({ group, count: group.commands.length })),
      counts,
    )
    return { ...counts, conflicts: groups.flatMap(({ conflict }) => conflict ?? []) }
  }

  /** How far each aggregate is. */
  async function probe(groups: readonly Group[]): Promise<ReadonlyMap<Group, number>> {
    if (groups.length === 0) return new Map()
    const results = await send(
      groups.map(({ commands }) => ({ ...toAppend(commands.at(-1)), expectedSequence: nowhere })),
    )
    return new Map(
      groups.map((group, place) => {
        const result = results[place]
        const last = group.commands.at(-1)?.events.at(-1)?.sequence ?? 0
        return [group, result?.type === 'conflict' ? result.sequence : last]
      }),
    )
  }

  /** Sends commands up to `count` of each group, those that are settled left out; those behind a conflict never. */
  async function settle(
    wanted: readonly { readonly group: Group; readonly count: number }[],
    counts: { appended: number; there: number },
  ): Promise<void> {
    const sent = wanted.flatMap(({ group, count }) =>
      group.conflict === null
        ? group.commands.slice(group.done, count).map(command => ({ group, command }))
        : [],
    )
    if (sent.length === 0) return
    // What fails may have been written in part: nothing is known of those aggregates then.
    for (const { group } of sent) ends.delete(group.name)
    const results = await send(sent.map(({ command }) => toAppend(command)))
    for (const [place, { group, command }] of sent.entries()) {
      if (group.conflict !== null) continue
      const result = results[place]
      group.conflict = conflictOf(command, result)
      if (group.conflict !== null) continue
      group.done += 1
      counts[result?.type === 'appended' ? 'appended' : 'there'] += 1
      if (result?.type === 'appended') ends.set(group.name, command.events.at(-1)?.sequence ?? 0)
    }
    for (const { group } of sent) if (group.conflict !== null) ends.delete(group.name)
  }

  return { write }
}

function groupsOf(commands: readonly ImportCommand[]): Group[] {
  const groups = new Map<string, ImportCommand[]>()
  for (const command of commands) {
    const { type = '', id = '' } = command.events[0]?.aggregate ?? {}
    const name = `${type}\u0000${id}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [command])
    else group.push(command)
  }
  return [...groups].map(([name, own]) => ({ name, commands: own, conflict: null, done: 0 }))
}

const expectedOf = (command: ImportCommand | undefined): number => (command?.events[0]?.sequence ?? 1) - 1

/** Commands that begin before the end of the aggregate: they are there, or conflict, and write nothing. */
const countThere = ({ commands }: Group, sequence: number): number =>
  commands.filter(command => expectedOf(command) < sequence).length

function toAppend(command: ImportCommand | undefined): GivenAppend {
  const [first] = command?.events ?? []
  if (command === undefined || first === undefined)
    throw new Error('a command of an export has one event at least')
  return {
    aggregate: first.aggregate,
    expectedSequence: first.sequence - 1,
    commandId: first.commandId,
    timeMs: Date.parse(first.time),
    metadata: JSON.stringify(first.metadata),
    events: command.events.map(({ type, version, data }) => ({ type, version, data: JSON.stringify(data) })),
  }
}

function conflictOf({ events, line }: ImportCommand, result: GivenAppendResult | undefined): Conflict | null {
  const [first] = events
  if (first === undefined || result === undefined || result.type === 'appended') return null
  const { aggregate, commandId, sequence } = first
  const conflict = { aggregate, commandId, line, expected: sequence - 1 }
  if (result.type === 'conflict') return { ...conflict, found: result.sequence }
  const stored = result.events.map(toEventEnvelope)
  const isSame =
    stored.length === events.length &&
    events.every((event, place) => {
      const other = stored[place]
      return other !== undefined && hashOfEvent(other) === hashOfEvent(event)
    })
  return isSame ? null : { ...conflict, found: null }
}
