// The short form of a query: a function that is called with the events of one aggregate at a time, in the order of each
// partition. This one appends a line per event to a file: $GLYN_AUDIT_FILE, or audit.log in the data directory.
//
// What it does outside of a read model happens at least once: after a crash between the write and the checkpoint the
// same events come again. The id of an event (the second column) tells a line that was written twice.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EventEnvelope } from 'glyn-node'

const { GLYN_AUDIT_FILE, GLYN_DATA_DIR } = process.env as Readonly<Record<string, string | undefined>>
const file = GLYN_AUDIT_FILE ?? join(GLYN_DATA_DIR ?? '.', 'audit.log')

export default function audit(_aggregateId: string, events: readonly EventEnvelope[]): void {
  const lines = events.map(
    event => `${event.time} ${event.id} ${event.type} v${event.version} ${JSON.stringify(event.data)}\n`,
  )
  // This thread is the query's own, so waiting here holds up nobody. The function may also be async.
  appendFileSync(file, lines.join(''))
}
