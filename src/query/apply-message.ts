// Hands one message to `onMessage` in a transaction of its own. There is no checkpoint; what was given is remembered for a
// while, because a node that restarts is told again by its neighbours what they published some seconds ago.
import type { Database, Statement } from 'better-sqlite3'
import type { QueryMessage } from '../core/query-message.ts'
import type { AnyQuery } from './define-query.ts'
import type { ReadModel } from './read-model.ts'

/** Messages remembered: far more than come within the ten seconds for which gossip repeats them. */
const rememberedMax = 10_000

export type AppliedMessage = 'handled' | 'repeated' | { readonly error: unknown }

/** What the plugin throws is in the answer; then the read model is as it was before. */
export function applyMessage(
  { definition, model }: { readonly definition: AnyQuery; readonly model: ReadModel },
  message: QueryMessage,
): AppliedMessage {
  const { db, transaction } = model
  const key = `${message.publisher}/${message.id}`
  try {
    const { remember, forget } = memoryOf(db)
    transaction.begin()
    const { changes, lastInsertRowid } = remember.run(key)
    if (changes === 0) {
      transaction.rollback()
      return 'repeated'
    }
    forget.run(Number(lastInsertRowid) - rememberedMax)
    const result: unknown = definition.onMessage?.(message, { db })
    if (typeof result === 'object' && result !== null && 'then' in result) {
      // Its outcome is nobody's any more; the message fails for having returned it.
      Promise.resolve(result).catch(() => undefined)
      throw new Error('onMessage returned a promise; it must be synchronous')
    }
    if (!db.inTransaction) throw new Error('onMessage ended the transaction, which is not its own')
    transaction.commit()
    return 'handled'
  } catch (error) {
    if (db.open && db.inTransaction) transaction.rollback()
    return { error: rememberFailed(db, key) ?? error }
  }
}

/** One that failed is not given again either. Returns what is wrong with the database, if that is why. */
function rememberFailed(db: Database, key: string): unknown {
  try {
    memories.get(db)?.remember.run(key)
    return undefined
  } catch (error) {
    return error
  }
}

interface Memory {
  readonly remember: Statement<[string]>
  readonly forget: Statement<[number]>
}

const memories = new WeakMap<Database, Memory>()

/** The table comes with the first message, outside of its transaction: it stays when that is rolled back. */
function memoryOf(db: Database): Memory {
  const known = memories.get(db)
  if (known !== undefined) return known
  db.exec(`
    create table if not exists glyn_message
      (place integer primary key autoincrement, message text not null unique) strict;
  `)
  const memory = {
    remember: db.prepare<[string]>('insert or ignore into glyn_message (message) values (?)'),
    forget: db.prepare<[number]>('delete from glyn_message where place <= ?'),
  }
  memories.set(db, memory)
  return memory
}
