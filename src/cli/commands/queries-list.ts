// `queries` without a command: all of them, once or again and again.
import { setTimeout as sleep } from 'node:timers/promises'
import { isGlynError } from '../../core/errors.ts'
import type { ControlClient } from '../../http/control-client.ts'
import { createPaint, type Io, write, writeJson } from '../io.ts'
import { formatQueries } from '../queries-table.ts'

const watchMs = 1000
const toTop = '\u001b[H'
const clearBelow = '\u001b[J'
const clearLine = '\u001b[K'

export async function listQueries(io: Io, client: ControlClient, isJson: boolean): Promise<void> {
  const queries = await client.queries.list()
  if (isJson) await writeJson(io.stdout, queries)
  else await write(io.stdout, formatQueries(io, queries))
}

/**
 * Every second until a signal: on a terminal in place, elsewhere what has changed; with `--json` an array per line. A node
 * that goes away is waited for.
 */
export async function watchQueries(io: Io, client: ControlClient, isJson: boolean): Promise<void> {
  const stop = new AbortController()
  const forget = io.onStopSignal(() => stop.abort())
  const inPlace = !isJson && io.stdout.isTTY === true
  let last = ''
  try {
    if (inPlace) await write(io.stdout, `${toTop}${clearBelow}`)
    while (!stop.signal.aborted) {
      const text = await look(io, client, isJson)
      if (inPlace) {
        const now = new Date().toTimeString().slice(0, 8)
        const note = createPaint(io, io.stdout)('dim', `${now}, every second; Ctrl-C ends`)
        await write(
          io.stdout,
          `${toTop}${`${text}\n${note}\n`.replaceAll('\n', `${clearLine}\n`)}${clearBelow}`,
        )
      } else if (text !== last) {
        await write(io.stdout, isJson ? text : `${text}\n`)
        last = text
      }
      await sleep(watchMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  } finally {
    forget()
  }
}

async function look(io: Io, client: ControlClient, isJson: boolean): Promise<string> {
  try {
    const queries = await client.queries.list()
    return isJson ? `${JSON.stringify(queries)}\n` : formatQueries(io, queries)
  } catch (error) {
    if (!isGlynError(error) || (!error.retryable && error.code !== 'NODE_NOT_RUNNING')) throw error
    if (isJson) return `${JSON.stringify({ error: { code: error.code, message: error.message } })}\n`
    return `${createPaint(io, io.stdout)('yellow', error.message)}\n`
  }
}
