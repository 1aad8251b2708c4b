// A shared store as people name it on the command line.
import { GlynError } from '../core/errors.ts'
import { postgresStore } from '../store/postgres/postgres-store.ts'
import type { SharedStore } from '../store/shared-store.ts'

/**
 * `postgres://user:password@host:5432/database`, with `?schema=name` for another schema than `glyn`. Throws
 * INVALID_CONFIGURATION, never with the password in it.
 */
export function storeFromText(text: string): SharedStore {
  if (!/^postgres(ql)?:\/\//.test(text)) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      'store is of no known kind; allowed: sqlite, memory, postgres://…',
    )
  }
  const place = text.indexOf('?')
  if (place === -1) return postgresStore({ connectionString: text })
  // Ours, and not the driver's. The rest stays as it is written.
  const pairs = text.slice(place + 1).split('&')
  const schema = pairs.find(pair => pair.startsWith('schema='))?.slice('schema='.length)
  const others = pairs.filter(pair => !pair.startsWith('schema=')).join('&')
  const connectionString = others === '' ? text.slice(0, place) : `${text.slice(0, place)}?${others}`
  return postgresStore({ connectionString, ...(schema === undefined ? {} : { schema }) })
}
