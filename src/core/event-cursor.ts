// Where a stream of events is, as a text that resumes it without a gap or a duplicate: the ids of /v1/events.
import { GlynError } from './errors.ts'
import type { EventEnvelope } from './event.ts'
import { formatToken, parseToken } from './token.ts'

export interface EventCursor {
  /** The token to subscribe from. */
  readonly token: string
  /**
   * Takes the next event of the subscription. Returns the text that resumes after it, or null for an event that was seen
   * before the cursor was written.
   */
  advance(event: EventEnvelope): string | null
}

/** An entry of which `seen` events have passed, and `met` of those again since the stream was resumed. */
interface OpenEntry {
  readonly index: number
  readonly seen: number
  readonly met: number
}

/**
 * A cursor is a token of whole entries, and `+partition:index:seen` for each entry after them of which some events have
 * passed: an entry holds the events of one command, and a stream may be cut between them. There are several when a stream
 * that was cut in one partition begins with another one, and is cut there too. A plain token is a cursor. `isPast`: the
 * events that have passed do not come again. Throws INVALID_ARGUMENT.
 */
export function createEventCursor(
  text: string,
  { isPast = false }: { readonly isPast?: boolean } = {},
): EventCursor {
  const [token = '', ...rest] = text.split('+')
  const whole = new Map(parseToken(token))
  const open = new Map<number, OpenEntry>()
  for (const part of rest) {
    const { partition, index, seen } = parseOpenEntry(part, text)
    open.set(partition, { index, seen, met: isPast ? seen : 0 })
  }
  /** Of the entry that the stream is in: the events of an entry follow each other. */
  let current: number | null = null

  const complete = (partition: number): void => {
    const entry = open.get(partition)
    if (entry === undefined) return
    whole.set(partition, entry.index)
    open.delete(partition)
  }

  return {
    token,
    advance(event) {
      const { partition, index } = event.position
      if (current !== null && current !== partition) complete(current)
      if (open.get(partition)?.index !== index) complete(partition)
      current = partition
      const { seen, met } = open.get(partition) ?? { seen: 0, met: 0 }
      open.set(partition, { index, seen: Math.max(seen, met + 1), met: met + 1 })
      if (met < seen) return null
      const entries = [...open].map(([id, entry]) => `+${id}:${entry.index}:${entry.seen}`)
      return `${formatToken(whole)}${entries.join('')}`
    },
  }
}

/** True when `token` has passed every entry that `cursor` is in the middle of: it says all that the cursor does. */
export function isPastOpenEntries(token: string, cursor: string): boolean {
  const positions = parseToken(token)
  const [, ...rest] = cursor.split('+')
  return rest.every(part => {
    const { partition, index } = parseOpenEntry(part, cursor)
    return (positions.get(partition) ?? 0) >= index
  })
}

function parseOpenEntry(
  text: string,
  cursor: string,
): { readonly partition: number; readonly index: number; readonly seen: number } {
  const match = /^(\d{1,6}):(\d{1,15}):(\d{1,6})$/.exec(text)
  if (match !== null) {
    return { partition: Number(match[1]), index: Number(match[2]), seen: Number(match[3]) }
  }
  throw new GlynError(
    'INVALID_ARGUMENT',
    `the place in the stream is ${JSON.stringify(cursor)}; allowed: start, now, a token, or the id of an event of the stream`,
  )
}
