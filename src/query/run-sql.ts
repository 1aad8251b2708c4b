// Reads a read model with SQL, in a process of its own: no statement, however long, holds up the node or the query.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GlynError } from '../core/errors.ts'
import {
  type SqlAnswer,
  type SqlParameter,
  type SqlReply,
  type SqlRequest,
  sqlLimits,
  whatIsAllowed,
} from './sql-limits.ts'

export interface SqlCall {
  /** The query's name, for messages. */
  readonly name: string
  /** Its database. */
  readonly path: string
  readonly text: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly rows: number
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Throws INVALID_ARGUMENT for what is no single SELECT and for what SQLite says of it, TIMEOUT, OVERLOADED, QUERY_FAILED
 * when there is no read model yet, or the signal's reason. A statement that is given up is ended.
 */
export type RunSql = (call: SqlCall) => Promise<SqlAnswer>

export function createSqlRunner(limits: typeof sqlLimits = sqlLimits): RunSql {
  let underWay = 0
  return async call => {
    const request = check(call, limits)
    if (underWay >= limits.atOnceMax) {
      throw new GlynError('OVERLOADED', `${underWay} SQL statements are under way, the most at once`)
    }
    underWay += 1
    try {
      const reply = await runChild(request, call)
      if (reply.type === 'answer') return reply.answer
      throw refusal(reply.message, call.text)
    } finally {
      underWay -= 1
    }
  }
}

function check(call: SqlCall, limits: typeof sqlLimits): SqlRequest {
  const { name, path, text, rows } = call
  if (text.length > limits.statementCharactersMax) {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `sql: the statement has ${text.length} characters; allowed: ${limits.statementCharactersMax}`,
    )
  }
  if (!Number.isSafeInteger(rows) || rows < 1 || rows > limits.rowsMax) {
    throw new GlynError('INVALID_ARGUMENT', `sql: limit is ${rows}; allowed: 1 to ${limits.rowsMax}`)
  }
  const refused = whyRefused(text)
  if (refused !== null) throw refusal(refused, text)
  if (!existsSync(path)) throw new GlynError('QUERY_FAILED', `query ${name} has no read model yet`)
  const parameters = Object.entries(call.parameters).map(([key, value]): [string, SqlParameter] => {
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) {
      return [key, value as SqlParameter]
    }
    const text = `sql: parameter ${key} is ${JSON.stringify(value)}; allowed: a text, a number, true, false, null`
    throw new GlynError('INVALID_ARGUMENT', text)
  })
  return { path, text, parameters: Object.fromEntries(parameters), rows, limits }
}

/** What may be said at all. SQLite itself sees to it that nothing is written. */
function whyRefused(text: string): string | null {
  const bare = text.replace(/^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|;)*/, '')
  const word = /^[a-z]+/i.exec(bare)?.[0]?.toLowerCase()
  if (word === undefined) return `there is no statement; ${whatIsAllowed}`
  return ['select', 'with', 'values', 'explain'].includes(word)
    ? null
    : `${word} is not for read models: their query alone writes them; ${whatIsAllowed}`
}

const script = fileURLToPath(new URL(`./sql-child${extname(import.meta.url)}`, import.meta.url))

function runChild(request: SqlRequest, { timeoutMs, signal, text }: SqlCall): Promise<SqlReply> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    // What the process preloads, and what it was started with, is not for this one.
    const { NODE_OPTIONS: _, ...env } = process.env
    const child = spawn(process.execPath, [script], { stdio: 'pipe', env })
    let output = ''
    let complaints = ''
    child.stdout.setEncoding('utf8').on('data', chunk => (output += chunk))
    child.stderr.setEncoding('utf8').on('data', chunk => {
      if (complaints.length < complaintCharactersMax) complaints += chunk
    })
    const giveUp = (why: unknown): void => {
      child.kill('SIGKILL')
      reject(why)
    }
    const timer = setTimeout(() => {
      const late = `the statement did not end within ${timeoutMs} ms, and was ended: ${inShort(text)}`
      giveUp(new GlynError('TIMEOUT', late))
    }, timeoutMs)
    const onAbort = (): void => giveUp(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    child.on('error', error => giveUp(failure(error.message)))
    // It may end without having read anything.
    child.stdin.on('error', error => (complaints ||= error.message))
    child.on('close', (code, killedBy) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      if (code === 0) resolve(JSON.parse(output) as SqlReply)
      else reject(failure(complaints.trim() || `it ended with ${code ?? killedBy}`))
    })
    child.stdin.end(JSON.stringify(request))
  })
}

const complaintCharactersMax = 10_000
const statementShownMax = 200

const refusal = (why: string, text: string): GlynError =>
  new GlynError('INVALID_ARGUMENT', `sql: ${why}${text.trim() === '' ? '' : `; in: ${inShort(text)}`}`)

const failure = (why: string): GlynError => new GlynError('QUERY_FAILED', `sql: its process failed: ${why}`)

const inShort = (text: string): string => {
  const line = text.trim().replaceAll(/\s+/g, ' ')
  return line.length > statementShownMax ? `${line.slice(0, statementShownMax)}…` : line
}
