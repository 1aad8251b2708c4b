// Events of an export, checked one by one and put together as they were stored: those of one command in one entry.
import type { EventEnvelope } from '../../core/event.ts'
import { checkAggregateKey, checkName } from '../../core/names.ts'

/** `complain` makes the error of the event at this place. */
export function toRecordedCommands(
  events: readonly EventEnvelope[],
  complain: (place: number, why: string) => Error,
): EventEnvelope[][] {
  const commands: EventEnvelope[][] = []
  let last: EventEnvelope | undefined
  for (const [place, event] of events.entries()) {
    try {
      checkEvent(event)
    } catch (cause) {
      throw complain(place, cause instanceof Error ? cause.message : String(cause))
    }
    if (last !== undefined && isSameEntry(last, event)) {
      const why = whyNotNext(last, event)
      if (why !== null) throw complain(place, why)
      commands.at(-1)?.push(event)
    } else commands.push([event])
    last = event
  }
  return commands
}

const isSameEntry = (a: EventEnvelope, b: EventEnvelope): boolean =>
  a.position.partition === b.position.partition && a.position.index === b.position.index

function whyNotNext(last: EventEnvelope, event: EventEnvelope): string | null {
  const isSameAggregate =
    last.aggregate.type === event.aggregate.type && last.aggregate.id === event.aggregate.id
  if (!isSameAggregate || last.commandId !== event.commandId)
    return 'it has the position of the event before it, and another aggregate or command'
  if (event.sequence !== last.sequence + 1)
    return `its sequence is ${event.sequence} after ${last.sequence} of the same command`
  return null
}

function checkEvent(event: EventEnvelope): void {
  if (typeof event !== 'object' || event === null) throw new Error('it is no event')
  const { id, aggregate, sequence, position, type, version, metadata, commandId, time } = event
  if (typeof aggregate !== 'object' || aggregate === null) throw new Error('it has no aggregate')
  checkAggregateKey(aggregate)
  if (typeof type !== 'string' || type === '')
    throw new Error(`type is ${JSON.stringify(type)}; allowed: a text`)
  checkName('commandId', commandId)
  for (const [field, value] of Object.entries({
    sequence,
    version,
    index: position?.index,
    partition: position?.partition,
  }))
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      throw new Error(`${field} is ${JSON.stringify(value)}; allowed: a positive whole number`)
  if (id !== `${aggregate.type}/${aggregate.id}/${sequence}`)
    throw new Error(`id is ${JSON.stringify(id)}; allowed: that of its aggregate and sequence`)
  if (typeof time !== 'string' || !isIsoTime(time))
    throw new Error(`time is ${JSON.stringify(time)}; allowed: ISO 8601 in UTC`)
  const texts =
    typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
      ? Object.values(metadata)
      : [0]
  if (texts.some(text => typeof text !== 'string')) throw new Error('metadata is no flat object of texts')
  if (event.data === undefined) throw new Error('it has no data')
}

const isIsoTime = (text: string): boolean => {
  const ms = Date.parse(text)
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text
}
