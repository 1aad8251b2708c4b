// The checker: a pure function over what clients were told and what the nodes hold. Everything that it says is wrong is wrong:
// outcomes carry sequences, so the order of commands is known and needs no search.
import { type Call, isAccepted, isCommand, pairCalls } from './calls.ts'
import { checkLogs, committedEvents } from './check-logs.ts'
import { checkReadModels } from './check-read-models.ts'
import type { ClusterDump, DumpedEvent } from './dump.ts'
import { type HistoryLine, isNemesis } from './history.ts'
import type { Violation } from './violation.ts'

export function checkHistory(lines: readonly HistoryLine[], dump: ClusterDump): Violation[] {
  const calls = pairCalls(lines)
  const truth = committedEvents(dump)
  return [
    ...checkLogs(dump),
    ...checkCommands(calls, { truth, dump }),
    ...checkOrder(calls, truth),
    ...checkReadModels(dump, truth),
    ...checkMinorities(lines, calls),
  ]
}

/** G1 and G3: what was acknowledged is there, once, where the answer said; what was refused is not. */
function checkCommands(
  calls: readonly Call[],
  known: { readonly truth: readonly DumpedEvent[]; readonly dump: ClusterDump },
): Violation[] {
  const found: Violation[] = []
  const entries = Map.groupBy(known.truth, event => event.commandId)
  const holders = holdersOf(known.dump)
  const byId = Map.groupBy(calls.filter(isCommand), call => call.commandId ?? '')
  for (const [commandId, events] of entries) {
    const { aggregate } = events[0] ?? { aggregate: '' }
    const about = { aggregate, commandId }
    const [event, second] = events
    if (second !== undefined) {
      const places = events.map(({ sequence }) => sequence).join(' and ')
      found.push({
        guarantee: 'G3',
        text: `command ${commandId} was applied twice: sequences ${places}`,
        ...about,
      })
    }
    const sent = byId.get(commandId)?.[0]
    if (event === undefined) continue
    if (sent === undefined) {
      found.push({
        guarantee: 'G2',
        text: `nobody sent the command ${commandId} of ${placeOf(event)}`,
        ...about,
      })
    } else if (sent.aggregate !== event.aggregate || (sent.amount ?? 0) !== event.amount) {
      const text = `${sent.op} ${sent.amount} to ${sent.aggregate} became ${event.type} ${event.amount} of ${placeOf(event)}`
      found.push({ guarantee: 'G2', text, ...about })
    }
  }
  for (const [commandId, attempts] of byId) {
    const event = entries.get(commandId)?.[0]
    const accepted = attempts.filter(isAccepted)
    for (const call of accepted) {
      found.push(...checkAcknowledged(call, event, holders))
    }
    found.push(...checkRefused(attempts, event))
  }
  return found
}

type Holders = ReadonlyMap<string, { readonly holding: number; readonly voters: number }>

/** By partition, index and command: how many voters have it on their disks. */
function holdersOf({ nodes, voters }: ClusterDump): Holders {
  const holders = new Map<string, { holding: number; voters: number }>()
  for (const { node, events } of nodes) {
    for (const { partition, index, commandId } of events) {
      const names = voters.get(partition) ?? []
      if (!names.includes(node)) continue
      const key = holderKey(partition, index, commandId)
      const before = holders.get(key)?.holding ?? 0
      holders.set(key, { holding: before + 1, voters: names.length })
    }
  }
  return holders
}

const holderKey = (partition: number, index: number, commandId: string): string =>
  `${partition}/${index}/${commandId}`

function checkAcknowledged(call: Call, event: DumpedEvent | undefined, holders: Holders): Violation[] {
  const { aggregate, end } = call
  const commandId = call.commandId ?? ''
  const about = { aggregate, commandId }
  if (end.type !== 'ok') return []
  const { sequence = 0, partition = 0, index = 0 } = end
  const said = `${call.op} ${commandId} was acknowledged as sequence ${sequence} of ${aggregate} (partition ${partition}, index ${index})`
  if (event === undefined) return [{ guarantee: 'G1', text: `${said} and is lost`, ...about }]
  if (event.sequence !== sequence || event.index !== index || event.partition !== partition) {
    return [{ guarantee: 'G3', text: `${said} and is ${placeOf(event)}`, ...about }]
  }
  if (end.balance !== undefined && end.balance !== event.balance) {
    const text = `${said} with balance ${end.balance}; in the log it has ${event.balance}`
    return [{ guarantee: 'G3', text, ...about }]
  }
  const { holding = 0, voters = 0 } = holders.get(holderKey(partition, index, commandId)) ?? {}
  if (holding * 2 > voters) return []
  const text = `${said}; on disk at ${holding} of ${voters} voters only`
  return [{ guarantee: 'G1', text, ...about }]
}

/** A command refused at its only try is nowhere. After tries that ended unknown, an early one may have come late. */
function checkRefused(attempts: readonly Call[], event: DumpedEvent | undefined): Violation[] {
  if (event === undefined) return []
  const refused = attempts.find(({ end }) => end.type === 'fail')
  if (refused?.end.type !== 'fail') return []
  const isOnlyTry = attempts.length === 1 && refused.end.tries === 1
  const acceptedBefore = attempts.some(call => isAccepted(call) && call.endedAt < refused.invokedAt)
  if (!isOnlyTry && !acceptedBefore) return []
  const { aggregate } = event
  const commandId = event.commandId
  const text = `command ${commandId} was refused (${refused.end.code}) and is ${placeOf(event)}`
  return [{ guarantee: 'G3', text, aggregate, commandId }]
}

/**
 * G2. The log gives the order, so the calls are linearizable if, and only if, nothing that ended before another began
 * comes after it in that order, and every answer fits its place.
 */
function checkOrder(calls: readonly Call[], truth: readonly DumpedEvent[]): Violation[] {
  const found: Violation[] = []
  const eventsOf = Map.groupBy(truth, event => event.aggregate)
  for (const [aggregate, own] of Map.groupBy(calls, call => call.aggregate)) {
    const events = (eventsOf.get(aggregate) ?? []).toSorted((a, b) => a.sequence - b.sequence)
    found.push(...checkAggregate(aggregate, own, events))
  }
  return found
}

function checkAggregate(
  aggregate: string,
  calls: readonly Call[],
  events: readonly DumpedEvent[],
): Violation[] {
  const found: Violation[] = []
  // Of a command that was applied twice, the first one counts.
  const sequenceOf = new Map(events.toReversed().map(({ commandId, sequence }) => [commandId, sequence]))
  const balances = [0, ...events.map(({ balance }) => balance)]
  /** Where a call stands in the order; undefined where it says nothing. */
  const placeIn = ({ commandId, end }: Call): number | undefined => {
    if (commandId !== null) return sequenceOf.get(commandId)
    return end.type === 'ok' ? end.sequence : undefined
  }
  const ended = calls
    .filter(({ endedAt }) => Number.isFinite(endedAt))
    .flatMap(call => ({ call, time: call.endedAt, place: placeIn(call) ?? -1 }))
    .filter(({ call, place }) => place >= 0 && call.end.type === 'ok')
    .toSorted((a, b) => a.time - b.time)
  const firstSent = new Map<string, number>()
  for (const { commandId, invokedAt } of calls) {
    if (commandId !== null && !firstSent.has(commandId)) firstSent.set(commandId, invokedAt)
  }
  const invocations = [...firstSent]
    .map(([id, time]) => ({ time, place: sequenceOf.get(id) ?? -1 }))
    .toSorted((a, b) => a.time - b.time)
  const seenBefore = runningMaximum(ended)
  const sentBefore = runningMaximum(invocations)

  for (const call of calls) {
    const lowest = Math.max(0, seenBefore(call.invokedAt))
    const highest = Math.max(0, sentBefore(call.endedAt))
    const { commandId, end } = call
    const about = { aggregate, ...(commandId === null ? {} : { commandId }) }
    const say = (text: string): void => {
      found.push({
        guarantee: 'G2',
        text: `process ${call.process}, ${call.op} of ${aggregate}: ${text}`,
        ...about,
      })
    }
    const place = placeIn(call)
    if (commandId !== null && place !== undefined && !call.isAgain && place <= lowest) {
      say(`it began after sequence ${lowest} was seen, and became ${place}`)
    }
    if (call.op === 'read' && end.type === 'ok' && place !== undefined) {
      if (place < lowest) say(`a stale read: sequence ${place}, after ${lowest} had been seen`)
      if (place > highest) say(`it read sequence ${place} when only ${highest} could have happened`)
      if (balances[place] !== end.balance) {
        say(`it read balance ${end.balance} at sequence ${place}, where it was ${balances[place]}`)
      }
    }
    if (call.op === 'query' && end.type === 'ok') {
      const from = call.afterSequence ?? 0
      const possible = balances.slice(from, Math.max(highest, from) + 1)
      const isUnopened = end.balance === null && from === 0
      if (!isUnopened && !possible.includes(end.balance ?? Number.NaN)) {
        say(`it answered ${end.balance}, which the balance never was from sequence ${from} to ${highest}`)
      }
    }
    if (end.type === 'fail' && end.balance !== undefined && commandId !== null) {
      if (!balances.slice(lowest, highest + 1).includes(end.balance)) {
        say(
          `refused for a balance of ${end.balance}, which it never was from sequence ${lowest} to ${highest}`,
        )
      }
    }
  }
  return found
}

/** The highest place of everything strictly before a time. */
function runningMaximum(
  points: readonly { readonly time: number; readonly place: number }[],
): (time: number) => number {
  const maxima: number[] = []
  for (const { place } of points) maxima.push(Math.max(maxima.at(-1) ?? -1, place))
  return time => {
    let [low, high] = [0, points.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((points[middle]?.time ?? 0) < time) low = middle + 1
      else high = middle
    }
    return maxima[low - 1] ?? -1
  }
}

/** G5: a node that no majority can hear acknowledges nothing and answers no read that claims to be the latest. */
function checkMinorities(lines: readonly HistoryLine[], calls: readonly Call[]): Violation[] {
  const found: Violation[] = []
  for (const [place, line] of lines.entries()) {
    if (!isNemesis(line) || line.value.phase !== 'begin' || line.value.cutOff === undefined) continue
    const { cutOff } = line.value
    const end = lines
      .slice(place)
      .find(later => isNemesis(later) && later.op === line.op && later.value.phase === 'end')
    const until = end?.time ?? Number.POSITIVE_INFINITY
    for (const call of calls) {
      const { op, aggregate, commandId, process, node } = call
      if (!cutOff.includes(node) || call.invokedAt < line.time || call.endedAt > until) continue
      // Of what was decided before the cut, anybody may tell.
      if (call.end.type === 'unknown' || op === 'query' || (call.end.type === 'ok' && call.end.replayed))
        continue
      if (op === 'read' && call.end.type === 'fail') continue
      const text = `${node} was cut off from ${line.time} to ${until} ms and answered ${op} of ${aggregate} by process ${process} at ${call.endedAt} ms`
      found.push({ guarantee: 'G5', text, aggregate, ...(commandId === null ? {} : { commandId }) })
    }
  }
  return found
}

const placeOf = ({ aggregate, sequence, partition, index }: DumpedEvent): string =>
  `sequence ${sequence} of ${aggregate} (partition ${partition}, index ${index})`
