// Where the commands of a batch go: several nodes, those that do not answer left alone for a while.
import { setTimeout as sleep } from 'node:timers/promises'
import { GlynError, isGlynError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import type { BatchConnection } from '../http/batch-connection.ts'
import type { BatchRequest } from '../http/command-request.ts'
import type { ControlClient } from '../http/control-client.ts'
import { pauseMsBefore } from '../http/retrying.ts'
import type { PeerClient } from '../node/peer-client.ts'

/** A node is given this long for one attempt before another one is asked; it keeps trying by itself for as long. */
const attemptMsMax = 10_000
/** A node that could not be reached is asked again after this long, doubling from a tenth of it. */
const restMsMax = 2000

/** A batch that has never reached any node gives up after this long: the nodes are not there, or wrongly named. */
const firstAnswerMsMax = 10_000

export interface BatchTarget {
  readonly name: string
  send(request: BatchRequest & { readonly timeoutMs: number }): Promise<Outcome>
  /** False when the last failure was the connection's. */
  isReachable(): boolean
  close(): Promise<void>
}

/** Opens a connection when it is first needed, and another one after it was lost. */
export function createControlTarget(client: ControlClient): BatchTarget {
  let connection: BatchConnection | null = null
  return {
    name: client.name,
    send(request) {
      if (connection === null || !connection.isOpen()) connection = client.openBatch()
      return connection.send(request)
    },
    isReachable: () => connection?.isOpen() ?? true,
    async close() {
      connection?.close()
      await client.close()
    },
  }
}

export function createPeerTarget(name: string, client: PeerClient): BatchTarget {
  return {
    name,
    send: ({ type, id, command, data, ...options }) =>
      client.execute(type, id, { type: command, data }, options),
    isReachable: () => true,
    close: () => client.close(),
  }
}

interface Health {
  readonly target: BatchTarget
  restingUntil: number
  failures: number
}

/**
 * Sends a command with its id to one target after the other, until one knows its outcome or `timeoutMs` have passed; then
 * throws the last error. Commands are spread over the targets that answer. The id makes sure that nothing is done twice.
 */
export function createBatchSender(
  targets: readonly BatchTarget[],
): (request: BatchRequest, timeoutMs: number) => Promise<Outcome> {
  const states: Health[] = targets.map(target => ({ target, restingUntil: 0, failures: 0 }))
  const startedAt = performance.now()
  let hasReachedOne = false
  let turn = 0

  /** The next that is not resting; else the one that has rested longest. */
  const pick = (avoid: Health | null): Health => {
    turn += 1
    const now = performance.now()
    const order = states
      .map((_, place) => states[(turn + place) % states.length])
      .filter(state => state !== undefined)
    const fit = order.filter(state => state.restingUntil <= now)
    const found =
      fit.find(state => state !== avoid) ?? fit[0] ?? order.sort((a, b) => a.restingUntil - b.restingUntil)[0]
    if (found === undefined) throw new GlynError('INVALID_ARGUMENT', 'a batch needs one node at least')
    return found
  }

  const noteFailure = (state: Health): void => {
    const now = performance.now()
    // One lost connection fails many commands at once and counts once.
    if (state.target.isReachable() || state.restingUntil > now) return
    state.failures += 1
    state.restingUntil = now + Math.min(restMsMax, (restMsMax / 10) * 2 ** (state.failures - 1))
  }

  return async (request, timeoutMs) => {
    const deadline = performance.now() + timeoutMs
    let state: Health | null = null
    for (let attempt = 1; ; attempt += 1) {
      state = pick(state)
      try {
        const left = Math.max(1, Math.ceil(deadline - performance.now()))
        const outcome = await state.target.send({ ...request, timeoutMs: Math.min(left, attemptMsMax) })
        state.failures = 0
        hasReachedOne = true
        return outcome
      } catch (error) {
        hasReachedOne ||= state.target.isReachable()
        noteFailure(state)
        const pauseMs = pauseMsBefore(attempt)
        if (!hasReachedOne && performance.now() - startedAt > firstAnswerMsMax) throw error
        if (!isGlynError(error) || !error.retryable || performance.now() + pauseMs >= deadline) throw error
        await sleep(pauseMs)
      }
    }
  }
}
