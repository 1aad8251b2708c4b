// How an append ended, as programs are told: the JSON of HTTP and of `--json`.
import { toEventEnvelope } from '../store/event-envelope.ts'
import type { GivenAppendResult } from './node-api.ts'

export function toAppendBody(result: GivenAppendResult): object {
  switch (result.type) {
    case 'appended':
      return { type: 'appended', position: { partition: result.partition, index: result.index } }
    case 'conflict':
      return { type: 'conflict', sequence: result.sequence }
    case 'duplicate':
      return { type: 'duplicate', events: result.events.map(toEventEnvelope) }
  }
}
