// A process that runs one SELECT on one read model, and ends: a statement of SQLite can be ended in no other way.
import { text as readAll } from 'node:stream/consumers'
import Sqlite, { type Database } from 'better-sqlite3'
import {
  type SqlAnswer,
  type SqlParameter,
  type SqlReply,
  type SqlRequest,
  type SqlValue,
  whatIsAllowed,
} from './sql-limits.ts'

function reply({ path, text, parameters, rows, limits }: SqlRequest): SqlReply {
  const db = new Sqlite(path, { readonly: true, fileMustExist: true, timeout: limits.busyMs })
  try {
    db.pragma('query_only = on')
    db.pragma(`hard_heap_limit = ${limits.heapBytesMax}`)
    db.defaultSafeIntegers(true)
    return { type: 'answer', answer: select(db, { text, parameters, rows, bytesMax: limits.bytesMax }) }
  } catch (error) {
    return { type: 'refused', message: explain(error) }
  } finally {
    db.close()
  }
}

function select(
  db: Database,
  {
    text,
    parameters,
    rows: rowsMax,
    bytesMax,
  }: Pick<SqlRequest, 'text' | 'parameters' | 'rows'> & { readonly bytesMax: number },
): SqlAnswer {
  const statement = db.prepare<unknown[], unknown[]>(text)
  if (!statement.reader || !statement.readonly) {
    throw new RangeError(`it would write: only its query writes a read model; ${whatIsAllowed}`)
  }
  const columns = distinct(statement.columns().map(({ name }) => name))
  const bound = Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, bind(value)]))
  const rows: SqlAnswer['rows'][number][] = []
  let bytes = 0
  for (const values of statement.raw().iterate(bound)) {
    if (rows.length >= rowsMax || bytes >= bytesMax) return { columns, rows, truncated: true }
    const row = Object.fromEntries(columns.map((name, place) => [name, show(values[place])]))
    const rowBytes = Buffer.byteLength(JSON.stringify(row))
    if (rowBytes > bytesMax) {
      throw new RangeError(
        `row ${rows.length + 1} has ${rowBytes} bytes as JSON; allowed: ${bytesMax}: select less of it, as with substr`,
      )
    }
    bytes += rowBytes
    rows.push(row)
  }
  return { columns, rows, truncated: false }
}

function distinct(names: readonly string[]): readonly string[] {
  const taken = new Set<string>()
  return names.map(name => {
    let own = name
    for (let number = 2; taken.has(own); number += 1) own = `${name}_${number}`
    taken.add(own)
    return own
  })
}

const bind = (value: SqlParameter): string | number | bigint | null =>
  typeof value === 'boolean'
    ? Number(value)
    : typeof value === 'number' && Number.isSafeInteger(value)
      ? BigInt(value)
      : value

function show(value: unknown): SqlValue {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value.toString()
  }
  if (Buffer.isBuffer(value)) return { base64: value.toString('base64') }
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  return value as string | null
}

function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return /more than one statement/.test(message)
    ? `there is more than one statement; ${whatIsAllowed}`
    : message
}

const request = JSON.parse(await readAll(process.stdin)) as SqlRequest
process.stdout.write(JSON.stringify(reply(request)))
