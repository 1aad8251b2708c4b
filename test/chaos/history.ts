// What clients and the nemesis did, line by line, as docs/history-format.md describes it for other checkers.
import { createWriteStream } from 'node:fs'

export type Operation = 'open' | 'deposit' | 'withdraw' | 'read' | 'query'

/** What a client asked for. */
export interface Asked {
  /** Of a deposit or a withdrawal. */
  readonly amount?: number
  /** True when this command id was sent before, in an operation that has ended. */
  readonly again?: true
  /** Of a query: it must have seen this sequence of the aggregate. */
  readonly afterSequence?: number
}

/** How a call ended well. */
export interface Answered {
  /** Of a command: its own sequence. Of a read: the sequence of the state. */
  readonly sequence?: number
  /** Of a command: after its event. Of a read: of the state. Of a query: what it answered, null without an account. */
  readonly balance?: number | null
  readonly partition?: number
  readonly index?: number
  readonly replicas?: number
  readonly replayed?: boolean
}

interface Failed {
  /** The code of a rejection by the domain, or of an error. */
  readonly code: string
  readonly message: string
  /** What the rejection says the balance was. */
  readonly balance?: number
}

interface Called {
  /** One after the other: a process whose call ended as `info` never calls again. */
  readonly process: number
  readonly op: Operation
  readonly aggregate: string
  /** Null for what changes nothing. */
  readonly commandId: string | null
  /** Milliseconds since the run began, of one monotonic clock for all processes. */
  readonly time: number
  /** The node that was asked; on a completion the node that answered last. */
  readonly node: string
}

interface Tried {
  /** Calls that it took, the last one included. */
  readonly tries: number
  /** Those before, a word each: node, code, and how long it took. */
  readonly failures?: readonly string[]
}

export type ClientLine =
  | (Called & { readonly type: 'invoke'; readonly value: Asked })
  | (Called & { readonly type: 'ok'; readonly value: Answered & Tried })
  | (Called & { readonly type: 'fail'; readonly value: Failed & Tried })
  | (Called & { readonly type: 'info'; readonly value: Failed & Tried })

/** `begin` when the fault is in force, `end` before it is taken back. */
export interface NemesisLine {
  readonly process: 'nemesis'
  readonly type: 'info'
  readonly op: string
  readonly aggregate: null
  readonly commandId: null
  readonly time: number
  readonly value: {
    readonly phase: 'begin' | 'end' | 'note'
    readonly nodes: readonly string[]
    readonly text?: string
    /** The nodes that nobody hears and that hear nobody, while they are no majority of any partition. */
    readonly cutOff?: readonly string[]
  }
}

export type HistoryLine = ClientLine | NemesisLine

export const isNemesis = (line: HistoryLine): line is NemesisLine => line.process === 'nemesis'

export interface History {
  readonly lines: readonly HistoryLine[]
  /** Milliseconds since the run began. */
  now(): number
  add(line: HistoryLine): void
  close(): Promise<void>
}

/** Keeps the lines and appends them to the file. */
export function createHistory(path: string): History {
  const startedAt = performance.now()
  const lines: HistoryLine[] = []
  const file = createWriteStream(path)
  return {
    lines,
    now: () => Math.round((performance.now() - startedAt) * 1000) / 1000,
    add(line) {
      lines.push(line)
      file.write(`${JSON.stringify(line)}\n`)
    },
    close: () => new Promise((resolve, reject) => file.once('error', reject).end(resolve)),
  }
}
