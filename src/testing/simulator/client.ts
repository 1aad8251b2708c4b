// Those who use the cluster: they ask any node, lose patience, ask again with the same command id through another one, and
// remember what they were told.
import type { AggregateKey, Command, CommandEnvelope } from '../../core/command.ts'
import { GlynError, hasCode, isGlynError } from '../../core/errors.ts'
import type { Outcome } from '../../core/outcome.ts'
import { nameOf } from './canon.ts'
import type { Ledger } from './ledger.ts'
import type { RunningNode } from './running-node.ts'
import type { Dice } from './seeded-random.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { About, Story } from './story.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What a workload has to ask with. */
export interface SimulatedClient {
  /** 0, 1, 2, … */
  readonly number: number
  /** Chance of its own, from the seed. */
  readonly dice: Dice
  /**
   * Sends a command, again and again with the same id and through other nodes, until there is an answer. With `attempts`
   * it gives up after so many and throws OUTCOME_UNKNOWN; the simulator finds out what became of it in the end.
   */
  execute(
    type: string,
    id: string,
    command: Command,
    options?: { readonly commandId?: string; readonly attempts?: number },
  ): Promise<Outcome>
  /** The state of an aggregate as of now, or later; asked until there is an answer. */
  load(type: string, id: string): Promise<{ readonly state: unknown; readonly sequence: number }>
  /** An answer of a query on some node that has seen everything that this client was told of. */
  query(name: string, question: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>
  /** Waits in virtual time. */
  pause(ms: number): Promise<void>
  /** How many events of the aggregate this client was told of by the answers to its commands. */
  seen(type: string, id: string): number
  /** A claim of the workload: the run fails with this text when it does not hold. */
  expect(claim: boolean, text: string): void
}

export interface ClientInit {
  readonly number: number
  readonly dice: Dice
  readonly time: VirtualTime
  readonly story: Story
  readonly ledger: Ledger
  /** Those worth asking. */
  readonly nodes: () => readonly SimulatedNode[]
  readonly violated: (text: string, about: About) => void
}

const timeoutMsMin = 300
const timeoutMsMax = 4000
const pauseMsMax = 200

/** The simulator's side of a client. */
export interface ClientHandle extends SimulatedClient {
  /** Finds out what became of every command that was given up. */
  settle(): Promise<void>
  /** The workload threw: a violation, unless it is about a command that was given up. */
  complain(error: unknown): void
}

export function createClient(init: ClientInit): ClientHandle {
  const { dice, time, story, ledger } = init
  const unsettled = new Set<CommandEnvelope>()
  /** What this client was told of, by partition. */
  const positions = new Map<number, number>()
  const sequences = new Map<string, number>()
  let commands = 0

  const pause = (ms: number): Promise<void> => new Promise(resolve => time.after(ms, resolve))

  /** One question to one node. Nobody waits for ever. */
  function ask<T>(
    node: SimulatedNode,
    timeoutMs: number,
    action: (running: RunningNode) => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const cancel = time.after(timeoutMs * 1.5, () =>
        reject(new GlynError('OUTCOME_UNKNOWN', `${node.peerId} did not answer in ${timeoutMs * 1.5} ms`)),
      )
      time.after(dice.between(0.1, 1), () => {
        node.call(action).then(
          value => {
            cancel()
            time.after(0.1, () => resolve(value))
          },
          (error: unknown) => {
            cancel()
            reject(error)
          },
        )
      })
    })
  }

  /** Throws what no other node and no later time would cure. */
  async function again<T>(
    what: string,
    attemptsMax: number,
    attempt: (node: SimulatedNode, timeoutMs: number) => Promise<T>,
  ): Promise<T> {
    for (let attempts = 1; ; attempts += 1) {
      const nodes = init.nodes()
      if (nodes.length > 0) {
        try {
          return await attempt(dice.pick(nodes), dice.between(timeoutMsMin, timeoutMsMax))
        } catch (error) {
          if (!isPassing(error)) {
            init.violated(`${what} failed for good: ${String(error)}`, {})
            throw error
          }
          if (attempts >= attemptsMax)
            throw new GlynError('OUTCOME_UNKNOWN', `${what}: given up after ${attempts} attempts`)
        }
      }
      await pause(dice.between(1, pauseMsMax))
    }
  }

  async function attemptCommand(
    envelope: CommandEnvelope,
    node: SimulatedNode,
    timeoutMs: number,
  ): Promise<Outcome> {
    const asked = ledger.sends(envelope, node.peerId)
    const outcome = await ask(node, timeoutMs, running => running.execute(envelope, { timeoutMs }))
    ledger.answered(envelope, asked, outcome)
    return outcome
  }

  async function execute(envelope: CommandEnvelope, attemptsMax: number): Promise<Outcome> {
    const { aggregate, commandId, command } = envelope
    const name = nameOf(aggregate)
    const what = `command ${commandId} (${command.type} of ${name})`
    unsettled.add(envelope)
    try {
      const outcome = await again(what, attemptsMax, (node, timeoutMs) => {
        const first = attemptCommand(envelope, node, timeoutMs)
        // Somebody pressed the button twice.
        if (dice.chance(0.05)) attemptCommand(envelope, dice.pick(init.nodes()), timeoutMs).catch(() => {})
        return first
      })
      unsettled.delete(envelope)
      const partition = outcome.type === 'accepted' ? { partition: outcome.position.partition } : {}
      story.tell(`${what} ${inWords(outcome)}`, { aggregate: name, ...partition })
      if (outcome.type === 'accepted') {
        const { partition, index } = outcome.position
        positions.set(partition, Math.max(positions.get(partition) ?? 0, index))
        sequences.set(name, Math.max(sequences.get(name) ?? 0, outcome.sequence))
      }
      return outcome
    } catch (error) {
      story.tell(`${what} has no answer: ${String(error)}`, { aggregate: name })
      throw error
    }
  }

  return {
    number: init.number,
    dice,
    pause,
    seen: (type, id) => sequences.get(nameOf({ type, id })) ?? 0,
    expect(claim, text) {
      if (!claim) init.violated(text, {})
    },
    async settle() {
      for (const envelope of unsettled) await execute(envelope, Number.POSITIVE_INFINITY)
    },
    complain(error) {
      if (!hasCode(error, 'OUTCOME_UNKNOWN')) init.violated(`the workload failed: ${String(error)}`, {})
    },
    execute(type, id, command, { commandId, attempts = Number.POSITIVE_INFINITY } = {}) {
      commands += 1
      const aggregate: AggregateKey = { type, id }
      const envelope = {
        aggregate,
        command,
        commandId: commandId ?? `${init.number}-${commands}`,
        metadata: {},
      }
      return execute(envelope, attempts)
    },
    load: (type, id) =>
      again(`loading ${type}/${id}`, Number.POSITIVE_INFINITY, async (node, timeoutMs) => {
        const aggregate = { type, id }
        const asked = ledger.reads(aggregate, node.peerId)
        const loaded = await ask(node, timeoutMs, running => running.load(aggregate, { timeoutMs }))
        ledger.loaded(asked, loaded)
        return loaded
      }),
    query: (name, question, parameters = {}) =>
      again(`question ${question} to query ${name}`, Number.POSITIVE_INFINITY, (node, timeoutMs) => {
        const after = new Map(positions)
        return ask(node, timeoutMs, running =>
          running.queries.ask(name, question, parameters, { timeoutMs, after }),
        )
      }),
  }
}

function inWords(outcome: Outcome): string {
  if (outcome.type === 'rejected') return `rejected: ${outcome.code}`
  const { events, sequence, position, replayed } = outcome
  if (events.length === 0) return `accepted without events at sequence ${sequence}`
  return `accepted as sequence ${sequence} in entry ${position.index}${replayed ? ', once more' : ''}`
}

/** Another node, or the same a little later, may say more. What an aggregate or a query throws here, the simulator made it throw. */
const isPassing = (error: unknown): boolean =>
  isGlynError(error) &&
  (error.retryable || hasCode(error, 'AGGREGATE_FAILED', 'QUERY_FAILED', 'SHUTTING_DOWN'))
