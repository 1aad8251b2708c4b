// What `queries retry` and `queries drop` have in common: which entries, and what became of them.
import { GlynError } from '../core/errors.ts'
import type { ParkedOutcome, ParkedSelection } from '../node/parked-api.ts'
import { type CommandContext, writeJson, writeLine } from './io.ts'
import { showText } from './show-value.ts'
import type { TargetFlags } from './target.ts'

export interface ChosenFlags extends TargetFlags {
  readonly all?: boolean
  readonly timeout: string
  readonly json?: boolean
}

/** Throws INVALID_ARGUMENT unless exactly one way to choose is taken. */
export function chooseParked(action: string, what: string | undefined, flags: ChosenFlags): ParkedSelection {
  if (flags.all === true && what === undefined) return { all: true }
  if (flags.all !== true && what !== undefined) return { of: what }
  const found = what === undefined ? 'nothing says' : `${what} and --all both say`
  throw new GlynError(
    'INVALID_ARGUMENT',
    `${found} what to ${action}; allowed: an entry (3:17), an aggregate (acc-1), or --all`,
  )
}

/** Exit code 1 when the handler failed again. */
export async function reportParked(
  { io, setExitCode }: CommandContext,
  outcome: ParkedOutcome,
  flags: ChosenFlags,
): Promise<void> {
  const { dropped, handled, failed, counts } = outcome
  if (failed.length > 0) setExitCode(1)
  if (flags.json === true) return await writeJson(io.stdout, outcome)
  const done = [
    ...(dropped > 0 ? [`${dropped} dropped`] : []),
    `${handled} handled`,
    ...(failed.length > 0 ? [`${failed.length} failed again`] : []),
  ]
  await writeLine(io.stdout, `${done.join(', ')}; parked now: ${counts.failed} failed, ${counts.held} held`)
  for (const { entry, aggregate, message } of failed) {
    await writeLine(io.stdout, `  ${entry} ${aggregate.type}/${aggregate.id}: ${showText(message ?? '')}`)
  }
}
