// A process is three reactions. `in` brings events to their instances, `timers` remembers what instances set, `out` sends
// what they decided. Every command on the way has an id that follows from what caused it, and its outcome is kept: done
// again after a crash or by another leader, everything comes to the same.
import { GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { checkName } from '../core/names.ts'
import type { Outcome } from '../core/outcome.ts'
import type { StoredEvent } from '../core/record.ts'
import { isSystemType } from '../core/system-types.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'
import type { Send } from './actions.ts'
import { timerKey } from './checkpoint-aggregate.ts'
import type { AnyProcess, ProcessRejection } from './define-process.ts'
import { inputId, outputId, rejectionId } from './derived-id.ts'
import { passes } from './filter.ts'
import type { Led } from './partition-reactions.ts'
import { instanceType, processOf, type Reacted } from './process-aggregate.ts'
import type { PerformContext, Reaction, ReactionEnvironment } from './reaction.ts'

/** Instances that are told something, or whose commands are under way, at the same time in one partition. */
const lanesMax = 32
/** Of one attempt; it is tried again for ever. */
const sendTimeoutMs = 10_000

/** Names of the three, as their places in checkpoints. */
export const processKeys = (name: string) => ({
  in: `process/${name}/in`,
  timers: `process/${name}/timers`,
  out: `process/${name}/out`,
})

export function processReactions(
  process: AnyProcess,
  environment: ReactionEnvironment,
  { checkpointer, timers }: Led,
): readonly Reaction[] {
  const keys = processKeys(process.name)
  const isStep = (row: StoredEvent): boolean => processOf(row.aggregateType) === process.name
  // Instances may have steps from before this partition was ever looked at.
  const common = { startFrom: 'beginning', lanesMax, afterFailure: (): 'retry' => 'retry' } as const
  const laneOfStep = (row: StoredEvent): string | null => (isStep(row) ? row.aggregateId : null)

  return [
    {
      ...common,
      key: keys.in,
      startFrom: process.startFrom ?? 'now',
      laneOf(row) {
        if (isSystemType(row.aggregateType) || !passes(process.filter, row)) return null
        try {
          return instanceOf(process, toEventEnvelope(row))
        } catch {
          // Found out again, and told, when it is performed.
          return ''
        }
      },
      perform: (row, context) => tell(process, environment, toEventEnvelope(row), context),
    },
    {
      ...common,
      key: keys.timers,
      lanesMax: 1,
      laneOf: row => (isStep(row) ? '' : null),
      perform(row) {
        const { input, timers: setNow = [], cancelled = [] } = JSON.parse(row.data) as Reacted
        const timer = { process: process.name, instance: row.aggregateId }
        const names = input.type === 'timer' ? [input.name, ...cancelled] : cancelled
        for (const name of names) {
          const key = timerKey({ ...timer, name })
          timers.gone(key)
          checkpointer.gone(key)
        }
        for (const { name, delayMs } of setNow) {
          const pending = { ...timer, name, setBy: row.sequence, dueMs: row.timeMs + delayMs, delayMs }
          timers.set(pending)
          checkpointer.set(pending)
        }
        return undefined
      },
    },
    {
      ...common,
      key: keys.out,
      laneOf: laneOfStep,
      async perform(row, context) {
        const { sends = [] } = JSON.parse(row.data) as Reacted
        for (const [ordinal, one] of sends.entries()) {
          await sendOne({ process, environment, row, ordinal, one, context })
        }
      },
    },
  ]
}

/** Null for an event that is none of the process's. Throws what `correlate` throws, and for what is no id. */
export function instanceOf(process: AnyProcess, event: EventEnvelope): string | null {
  const instance: unknown = process.correlate(event)
  if (instance === null || instance === undefined) return null
  checkName(`process ${process.name}: what correlate returned`, instance)
  return instance
}

async function tell(
  process: AnyProcess,
  environment: ReactionEnvironment,
  event: EventEnvelope,
  { signal }: PerformContext,
): Promise<void> {
  const instance = instanceOf(process, event)
  if (instance === null) return
  await environment.send(
    {
      aggregate: { type: instanceType(process.name), id: instance },
      command: { type: 'React', data: { event } },
      commandId: inputId(process.name, event.id),
      metadata: event.metadata,
    },
    { timeoutMs: sendTimeoutMs, signal },
  )
}

async function sendOne(init: {
  readonly process: AnyProcess
  readonly environment: ReactionEnvironment
  /** The step that decided it. */
  readonly row: StoredEvent
  readonly ordinal: number
  readonly one: Pick<Send, 'aggregate' | 'command'>
  readonly context: PerformContext
}): Promise<void> {
  const { process, environment, row, ordinal, one, context } = init
  const { aggregate, command } = one
  const { signal } = context
  const place = { sequence: row.sequence, ordinal }
  const metadata = JSON.parse(row.metadata) as Record<string, string>
  const commandId = outputId(process.name, row.aggregateId, place)
  const options = { timeoutMs: sendTimeoutMs, signal }
  const envelope = { aggregate, command, commandId, metadata, keepsOutcome: true }
  const outcome: Outcome = await environment.send(envelope, options)
  if (outcome.type === 'accepted') return
  const { code, message, details } = outcome
  const rejection: ProcessRejection = {
    aggregate,
    command,
    code,
    message,
    ...(details === undefined ? {} : { details }),
  }
  if (process.rejected === undefined) {
    const text = `process/${process.name}: ${command.type} of ${row.aggregateId} to ${aggregate.type}/${aggregate.id} was rejected, and the process has no "rejected": ${code}: ${message}`
    environment.log.warn({ process: process.name, instance: row.aggregateId, code }, text)
  }
  const told = await environment.send(
    {
      aggregate: { type: row.aggregateType, id: row.aggregateId },
      command: { type: 'Rejected', data: { rejection, commandId } },
      commandId: rejectionId(process.name, row.aggregateId, place),
      metadata,
    },
    options,
  )
  if (told.type === 'rejected')
    throw new GlynError('INTERNAL', `an instance refused an input: ${told.message}`)
}
