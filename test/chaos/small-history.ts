// A small right history with its dump, for the checker's tests to break: two accounts on one partition, three nodes.
import type { ClusterDump, DumpedEvent, NodeDump } from './dump.ts'
import type { ClientLine, HistoryLine } from './history.ts'

export interface SmallRun {
  readonly lines: HistoryLine[]
  readonly dump: ClusterDump
}

/** Fresh objects each time. Times: the call with number k lasts from 100 k to 100 k + 50. */
export function createSmallRun(): SmallRun {
  const events = [
    event(2, { aggregate: 'acc-0', sequence: 1, type: 'AccountOpened', commandId: 'open-0' }),
    event(3, { aggregate: 'acc-1', sequence: 1, type: 'AccountOpened', commandId: 'open-1' }),
    event(4, { aggregate: 'acc-0', sequence: 2, amount: 10, balance: 10, commandId: 'c1' }),
    event(5, { aggregate: 'acc-0', sequence: 3, amount: 5, balance: 15, commandId: 'c2' }),
    event(6, { aggregate: 'acc-0', sequence: 4, type: withdrew, amount: 7, balance: 8, commandId: 'c3' }),
    event(7, { aggregate: 'acc-1', sequence: 2, amount: 4, balance: 4, commandId: 'c4' }),
  ]
  const lines: HistoryLine[] = [
    ...command(1, { op: 'open', commandId: 'open-0', event: events[0] }),
    ...command(2, { op: 'open', commandId: 'open-1', event: events[1] }),
    ...command(3, { op: 'deposit', commandId: 'c1', event: events[2] }),
    ...read(4, { aggregate: 'acc-0', sequence: 2, balance: 10 }),
    ...command(5, { op: 'deposit', commandId: 'c2', event: events[3] }),
    ...command(6, { op: 'withdraw', commandId: 'c3', event: events[4] }),
    // Nobody heard that this one was accepted.
    ...unknown(7, { aggregate: 'acc-1', commandId: 'c4', amount: 4 }),
    ...refused(8, { aggregate: 'acc-0', commandId: 'c5', amount: 99, balance: 8 }),
    ...command(9, { op: 'withdraw', commandId: 'c3', event: events[4], isAgain: true }),
    ...query(10, { aggregate: 'acc-0', balance: 8, afterSequence: 4 }),
  ]
  const nodes = ['n1', 'n2', 'n3'].map(node => nodeDump(node, events))
  const dump = { nodes, voters: new Map([[1, ['n1', 'n2', 'n3']]]), committed: new Map([[1, 7]]) }
  return { lines, dump }
}

const withdrew = 'CustomerWithdrewCash'

export const event = (
  index: number,
  given: Pick<DumpedEvent, 'aggregate' | 'sequence' | 'commandId'> & Partial<DumpedEvent>,
): DumpedEvent => ({ partition: 1, index, type: 'CustomerDepositedCash', amount: 0, balance: 0, ...given })

export function nodeDump(node: string, events: readonly DumpedEvent[]): NodeDump {
  const balances = Object.fromEntries(events.map(({ aggregate, balance }) => [aggregate, balance]))
  return {
    node,
    isMember: true,
    partitions: [{ partition: 1, commitIndex: 7, hashes: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] }],
    events: [...events],
    damage: [],
    feed: [...events],
    tally: [...events],
    balances,
    answers: balances,
  }
}

const called = (number: number, op: ClientLine['op'], aggregate: string, commandId: string | null) =>
  ({ process: number % 3, op, aggregate, commandId, node: `n${(number % 3) + 1}` }) as const

export function command(
  number: number,
  given: {
    readonly op: ClientLine['op']
    readonly commandId: string
    readonly event: DumpedEvent | undefined
    readonly isAgain?: boolean
  },
): HistoryLine[] {
  if (given.event === undefined) throw new Error('there is no such event')
  const { aggregate, sequence, balance, partition, index, amount } = given.event
  const common = called(number, given.op, aggregate, given.commandId)
  const asked = {
    ...(given.op === 'open' ? {} : { amount }),
    ...(given.isAgain ? { again: true as const } : {}),
  }
  const replayed = given.isAgain === true
  const answer = { sequence, balance, partition, index, replicas: 2, replayed, tries: 1 }
  return [
    { ...common, type: 'invoke', time: number * 100, value: asked },
    { ...common, type: 'ok', time: number * 100 + 50, value: answer },
  ]
}

export function read(
  number: number,
  given: { readonly aggregate: string; readonly sequence: number; readonly balance: number },
): HistoryLine[] {
  const common = called(number, 'read', given.aggregate, null)
  const { sequence, balance } = given
  return [
    { ...common, type: 'invoke', time: number * 100, value: {} },
    { ...common, type: 'ok', time: number * 100 + 50, value: { sequence, balance, tries: 1 } },
  ]
}

export function query(
  number: number,
  given: { readonly aggregate: string; readonly balance: number; readonly afterSequence?: number },
): HistoryLine[] {
  const { aggregate, balance, afterSequence } = given
  const common = called(number, 'query', aggregate, null)
  const asked = afterSequence === undefined ? {} : { afterSequence }
  return [
    { ...common, type: 'invoke', time: number * 100, value: asked },
    { ...common, type: 'ok', time: number * 100 + 50, value: { balance, tries: 1 } },
  ]
}

interface Attempted {
  readonly aggregate: string
  readonly commandId: string
  readonly amount: number
}

export function unknown(number: number, { aggregate, commandId, amount }: Attempted): HistoryLine[] {
  const common = { ...called(number, 'deposit', aggregate, commandId), process: 100 + number }
  const failed = { code: 'TIMEOUT', message: 'the deadline passed', tries: 3 }
  return [
    { ...common, type: 'invoke', time: number * 100, value: { amount } },
    { ...common, type: 'info', time: number * 100 + 50, value: failed },
  ]
}

export function refused(
  number: number,
  { aggregate, commandId, amount, balance }: Attempted & { readonly balance: number },
): HistoryLine[] {
  const common = called(number, 'withdraw', aggregate, commandId)
  const refusal = { code: 'cant_withdraw_more_than_current_balance', message: 'no', balance, tries: 1 }
  return [
    { ...common, type: 'invoke', time: number * 100, value: { amount } },
    { ...common, type: 'fail', time: number * 100 + 50, value: refusal },
  ]
}

export function cut(
  number: number,
  given: { readonly phase: 'begin' | 'end'; readonly node: string },
): HistoryLine {
  const { phase, node } = given
  const cutOff = phase === 'begin' ? { cutOff: [node] } : {}
  const line = { process: 'nemesis', type: 'info', op: 'isolate', aggregate: null, commandId: null } as const
  return { ...line, time: number * 100 - 10, value: { phase, nodes: [node], ...cutOff } }
}
