// Pairs the lines of a history: one call of a process from its invocation to its end, or to nowhere.
import { type Answered, type ClientLine, type HistoryLine, isNemesis, type Operation } from './history.ts'

export interface Call {
  readonly process: number
  readonly op: Operation
  readonly aggregate: string
  readonly commandId: string | null
  readonly amount: number | null
  readonly isAgain: boolean
  readonly afterSequence: number | null
  readonly invokedAt: number
  /** Infinity when nobody knows whether it happened, or may still happen. */
  readonly endedAt: number
  /** The node that answered last. */
  readonly node: string
  readonly end: CallEnd
}

export type CallEnd =
  | ({ readonly type: 'ok'; readonly tries: number } & Answered)
  | {
      readonly type: 'fail'
      readonly tries: number
      readonly code: string
      readonly message: string
      readonly balance?: number
    }
  | { readonly type: 'unknown'; readonly code: string }

/** In the order of invocation. Throws for a history that is none: an end without a beginning. */
export function pairCalls(lines: readonly HistoryLine[]): Call[] {
  const open = new Map<number, ClientLine & { readonly type: 'invoke' }>()
  const calls: Call[] = []
  for (const line of lines) {
    if (isNemesis(line)) continue
    if (line.type === 'invoke') {
      if (open.has(line.process)) throw new Error(`process ${line.process} calls twice at once`)
      open.set(line.process, line)
      continue
    }
    const invoked = open.get(line.process)
    if (invoked === undefined) throw new Error(`process ${line.process} ends a call that it did not begin`)
    open.delete(line.process)
    calls.push(toCall(invoked, line))
  }
  for (const invoked of open.values()) calls.push(toCall(invoked, null))
  return calls.toSorted((a, b) => a.invokedAt - b.invokedAt)
}

function toCall(invoked: ClientLine & { readonly type: 'invoke' }, line: ClientLine | null): Call {
  const { process, op, aggregate, commandId, value } = invoked
  return {
    process,
    op,
    aggregate,
    commandId,
    amount: value.amount ?? null,
    isAgain: value.again === true,
    afterSequence: value.afterSequence ?? null,
    invokedAt: invoked.time,
    endedAt: line === null || line.type === 'info' ? Number.POSITIVE_INFINITY : line.time,
    node: (line ?? invoked).node,
    end: endOf(line),
  }
}

function endOf(line: ClientLine | null): CallEnd {
  if (line === null || line.type === 'invoke') return { type: 'unknown', code: 'no completion' }
  if (line.type === 'info') return { type: 'unknown', code: line.value.code }
  if (line.type === 'ok') return { ...line.value, type: 'ok' }
  return { ...line.value, type: 'fail' }
}

export const isCommand = (call: Call): boolean => call.commandId !== null
export const isAccepted = (call: Call): boolean => isCommand(call) && call.end.type === 'ok'
