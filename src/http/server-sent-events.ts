// Reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
import { readLineGroups } from './read-lines.ts'

export interface ServerSentEvent {
  readonly event: string
  readonly data: string
  /** The last id so far, empty before the first. */
  readonly id: string
}

/** Comments are dropped, `data` lines joined; what is cut in the middle is not yielded. */
export async function* readServerSentEvents(
  source: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<ServerSentEvent> {
  let event = 'message'
  let id = ''
  let data: string[] = []
  for await (const group of readLineGroups(source)) {
    for (const line of group) {
      if (line === '') {
        if (data.length > 0) yield { event, data: data.join('\n'), id }
        event = 'message'
        data = []
        continue
      }
      const colon = line.indexOf(':')
      const field = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'data') data.push(value)
      else if (field === 'event') event = value
      else if (field === 'id') id = value
    }
  }
}
