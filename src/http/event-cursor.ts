// Where a stream of events is, as a text that resumes it without a gap or a duplicate: the ids of /v1/events.
import { GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { formatToken, parseToken } from '../core/token.ts'

export interface EventCursor {
  /** The token to subscribe from. */
  readonly token: string
  /**
   * Takes the next event of the subscription. Returns the text that resumes after it, or null for an event that was seen
   * before the cursor was written.
   */
  advance(event: EventEnvelope): string | null
}

/** The entry that the stream is in the middle of, possibly: `seen` of its events have passed. */
interface OpenEntry {
  readonly partition: number
  readonly index: number
  readonly seen: number
}

/**
 * A cursor is a token of whole entries, and `+partition:index:seen` for the entry after them of which some events have
 * passed: an entry holds the events of one command, and a stream may be cut between them. A plain token is a cursor.
 * Throws INVALID_ARGUMENT.
 */
export function createEventCursor(text: string): EventCursor {
  const [token = '', rest] = text.split('+')
  const whole = new Map(parseToken(token))
  let open = rest === undefined ? null : parseOpenEntry(rest, text)
  let skipped = 0
  return {
    token,
    advance(event) {
      const { partition, index } = event.position
      if (open?.partition === partition && open.index === index) {
        if (skipped < open.seen) {
          skipped += 1
          return null
        }
        open = { partition, index, seen: open.seen + 1 }
      } else {
        if (open !== null) whole.set(open.partition, open.index)
        open = { partition, index, seen: 1 }
      }
      skipped = open.seen
      return `${formatToken(whole)}+${partition}:${index}:${open.seen}`
    },
  }
}

function parseOpenEntry(text: string, cursor: string): OpenEntry {
  const match = /^(\d{1,6}):(\d{1,15}):(\d{1,6})$/.exec(text)
  if (match !== null) {
    return { partition: Number(match[1]), index: Number(match[2]), seen: Number(match[3]) }
  }
  throw new GlynError(
    'INVALID_ARGUMENT',
    `the place in the stream is ${JSON.stringify(cursor)}; allowed: start, now, a token, or the id of an event of the stream`,
  )
}
