// The workload: processes that deposit, withdraw, read and query through nodes of the cluster, and write down what they hear.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/core/clock.ts'
import { isGlynError, toErrorBody } from '../../src/core/errors.ts'
import type { LoadedAggregate } from '../../src/node/node-api.ts'
import type { ChaosNode } from './chaos-node.ts'
import type { Answered, Asked, History, Operation } from './history.ts'

/** How long a client waits for one answer: some are patient, some are not. */
const tryMs = { min: 700, max: 2500 }
/** Past this long a call ends as unknown, and its process with it. */
const callMsMax = 9000
const pauseBetweenTriesMs = 100

const accountType = 'bank_account'

export interface ClientsInit {
  readonly history: History
  readonly accounts: readonly string[]
  /** Those that can be asked, dead ones too: people do not know which ones are dead. */
  readonly nodes: () => readonly ChaosNode[]
  readonly thinkMsMax: number
}

/** A command whose outcome nobody knows. */
export interface PendingCommand {
  readonly op: Operation
  readonly aggregate: string
  readonly commandId: string
  readonly amount: number
}

export interface Clients {
  /** Opens the accounts; throws when one cannot be opened within `timeoutMs`. */
  open(timeoutMs: number): Promise<void>
  /** One client: a call after the other, by default to node number `home`, until the signal. */
  run(home: number, random: Random, signal: AbortSignal): Promise<void>
  /** Sends the commands of unknown outcome again until each has one. Returns those that got none in time. */
  resolve(timeoutMs: number): Promise<readonly PendingCommand[]>
  pending(): readonly PendingCommand[]
  /** Errors by code that are mistakes of ours: none is allowed. */
  readonly mistakes: string[]
}

interface CallSpec {
  readonly op: Operation
  readonly aggregate: string
  readonly commandId: string | null
  readonly asked: Asked
  /** Of a query. */
  readonly after?: string
}

interface Seen {
  readonly token: string
  readonly sequence: number
}

export function createClients(init: ClientsInit): Clients {
  const { history, accounts, nodes } = init
  const pending = new Map<string, PendingCommand>()
  const mistakes: string[] = []
  let processes = 0
  let commands = 0

  /** One call, over as many tries as it takes. Returns what was answered; null when the outcome is unknown. */
  async function call(
    process: number,
    spec: CallSpec,
    how: { readonly first: number; readonly random: Random; readonly msMax: number },
  ): Promise<{ answer: Answered; seen?: Seen } | 'refused' | null> {
    const { op, aggregate, commandId, asked } = spec
    const called = { process, op, aggregate, commandId }
    const failures: string[] = []
    const place = (number: number): ChaosNode => {
      const all = nodes()
      const node = all[number % all.length]
      if (node === undefined) throw new Error('there are no nodes')
      return node
    }
    let node = place(how.first)
    const startedAt = history.now()
    history.add({ ...called, type: 'invoke', time: startedAt, node: node.name, value: asked })
    for (let tries = 1; ; tries += 1) {
      const triedAt = history.now()
      try {
        const result = await attempt(
          node,
          spec,
          Math.round(tryMs.min + how.random() * (tryMs.max - tryMs.min)),
        )
        const time = history.now()
        if (commandId !== null) pending.delete(commandId)
        if ('refusal' in result) {
          history.add({
            ...called,
            type: 'fail',
            time,
            node: node.name,
            value: { ...result.refusal, tries, failures },
          })
          return 'refused'
        }
        history.add({
          ...called,
          type: 'ok',
          time,
          node: node.name,
          value: { ...result.answer, tries, failures },
        })
        return result
      } catch (error) {
        const { code, message } = toErrorBody(error)
        if (
          !isGlynError(error) ||
          code === 'INTERNAL' ||
          code.startsWith('INVALID') ||
          code.startsWith('UNKNOWN')
        ) {
          mistakes.push(`${node.name}, ${op} of ${aggregate}: ${code} ${message}`)
        }
        const time = history.now()
        failures.push(`${node.name} ${code} ${Math.round(time - triedAt)} ms: ${message.slice(0, 160)}`)
        if (time - startedAt + tryMs.max > how.msMax) {
          // What changes nothing has failed when it was not answered.
          const type = commandId === null ? 'fail' : 'info'
          history.add({ ...called, type, time, node: node.name, value: { code, message, tries, failures } })
          return null
        }
      }
      await sleep(pauseBetweenTriesMs)
      node = place(Math.floor(how.random() * 1000))
    }
  }

  async function run(home: number, random: Random, signal: AbortSignal): Promise<void> {
    let process = processes++
    const seen = new Map<string, Seen>()
    let last: CallSpec | null = null
    while (!signal.aborted) {
      const chance = random()
      const aggregate = accounts[Math.floor(random() * accounts.length)] ?? ''
      const amount = 1 + Math.floor(random() * 100)
      const first = random() < 0.92 ? home : Math.floor(random() * 1000)
      const known = seen.get(aggregate)
      let spec: CallSpec
      if (chance < 0.04 && last !== null) {
        // The answer got lost, thinks this client, and asks somebody again.
        spec = { ...last, asked: { ...last.asked, again: true } }
      } else if (chance < 0.65) {
        spec = {
          op: chance < 0.42 ? 'deposit' : 'withdraw',
          aggregate,
          commandId: `c${++commands}`,
          asked: { amount },
        }
      } else if (chance < 0.88) {
        spec = { op: 'read', aggregate, commandId: null, asked: {} }
      } else {
        const after = known !== undefined && random() < 0.5 ? known : null
        spec = {
          op: 'query',
          aggregate,
          commandId: null,
          asked: after === null ? {} : { afterSequence: after.sequence },
          ...(after === null ? {} : { after: after.token }),
        }
      }
      if (spec.commandId !== null && spec.asked.again !== true) pending.set(spec.commandId, toPending(spec))
      const result = await call(process, spec, { first, random, msMax: callMsMax })
      if (result === null && spec.commandId !== null) process = processes++
      if (result !== null && result !== 'refused') {
        if (result.seen !== undefined) seen.set(spec.aggregate, result.seen)
        if (spec.commandId !== null) last = spec
      }
      await sleep(random() * init.thinkMsMax)
    }
  }

  return {
    mistakes,
    pending: () => [...pending.values()],
    run,
    async open(timeoutMs) {
      await Promise.all(
        accounts.map(async (aggregate, number) => {
          const spec: CallSpec = { op: 'open', aggregate, commandId: `open-${aggregate}`, asked: {} }
          const how = { first: number, random: () => number / accounts.length, msMax: timeoutMs }
          const result = await call(processes++, spec, how)
          if (result === null || result === 'refused')
            throw new Error(`${aggregate} was not opened in ${timeoutMs} ms`)
        }),
      )
    },
    async resolve(timeoutMs) {
      const deadline = performance.now() + timeoutMs
      const left = [...pending.values()]
      // A few at a time: there may be many, and the machine is small.
      const work = async (first: number): Promise<void> => {
        for (let next = left.pop(); next !== undefined; next = left.pop()) {
          const { op, aggregate, commandId, amount } = next
          const spec: CallSpec = { op, aggregate, commandId, asked: { amount, again: true } }
          let turn = 0
          const random = (): number => ((first + ++turn) % 7) / 7
          await call(processes++, spec, {
            first,
            random,
            msMax: Math.max(tryMs.max, deadline - performance.now()),
          })
        }
      }
      await Promise.all([0, 1, 2, 3].map(work))
      return [...pending.values()]
    },
  }
}

const toPending = ({ op, aggregate, commandId, asked }: CallSpec): PendingCommand => ({
  op,
  aggregate,
  commandId: commandId ?? '',
  amount: asked.amount ?? 0,
})

const commandNames: Partial<Readonly<Record<Operation, string>>> = {
  open: 'OpenAccount',
  deposit: 'DepositMoney',
  withdraw: 'WithDrawMoney',
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly balance?: number
}

/** One try at one node. Throws GlynError. */
async function attempt(
  { client }: ChaosNode,
  { op, aggregate, commandId, asked, after }: CallSpec,
  timeoutMs: number,
): Promise<{ answer: Answered; seen?: Seen } | { refusal: Refusal }> {
  if (op === 'read') {
    const loaded = (await client.loadAggregate(accountType, aggregate, {
      timeoutMs,
    })) as LoadedAggregate<{
      balance: number
    }>
    const { sequence, state, position } = loaded
    return { answer: { sequence, balance: state.balance, ...position } }
  }
  if (op === 'query') {
    const options = { timeoutMs, ...(after === undefined ? {} : { after }) }
    const row = (await client.query('balance', 'get', { id: aggregate }, options)) as {
      amount: number
    } | null
    return { answer: { balance: row?.amount ?? null } }
  }
  const command = {
    type: commandNames[op] ?? '',
    data: op === 'open' ? { accountId: aggregate } : { amount: asked.amount },
  }
  const outcome = await client.execute(accountType, aggregate, command, {
    commandId: commandId ?? '',
    timeoutMs,
  })
  if (outcome.type === 'rejected') {
    const balance = (outcome.details as { balance?: number } | undefined)?.balance
    const { code, message } = outcome
    return { refusal: { code, message, ...(balance === undefined ? {} : { balance }) } }
  }
  const { sequence, position, replicas, replayed, token } = outcome
  const balance = (outcome.events.at(-1)?.data as { balance?: number } | undefined)?.balance
  const answer = { sequence, balance: balance ?? 0, ...position, replicas, replayed }
  return { answer, seen: { token, sequence } }
}
