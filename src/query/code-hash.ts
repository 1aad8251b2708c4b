// The identity of the code of a query that came as an object: there is no file to hash.
import { createHash } from 'node:crypto'
import type { NormalQuery } from './define-query.ts'

/**
 * SHA-256, hex, over the texts of what fills the read model. What the functions close over is not in it: raise `version`
 * when that changes.
 */
export function codeHash({ name, definition, call }: NormalQuery): string {
  const { filter = null, init, handle, onMessage } = definition ?? {}
  // Added later: the code of a query without it keeps its identity.
  const parts = [name, filter, init, handle, call, ...(onMessage === undefined ? [] : [onMessage])]
  const texts = parts.map(part => (typeof part === 'function' ? String(part) : JSON.stringify(part ?? null)))
  return createHash('sha256').update(JSON.stringify(texts)).digest('hex')
}
