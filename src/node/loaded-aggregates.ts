// The aggregates of a node: those of the config directory and those given in code, each with the name of its code.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { type AnyAggregate, checkAggregate } from '../core/aggregate.ts'
import { GlynError } from '../core/errors.ts'
import type { AggregateBinding } from '../partition/aggregate-host.ts'
import { loadAggregates } from '../plugin/load-aggregates.ts'

export interface LoadedAggregates {
  readonly bindings: ReadonlyMap<string, AggregateBinding>
  /** Files that were not loaded, a line each: path and cause. */
  readonly problems: readonly string[]
}

/** Throws INVALID_ARGUMENT when an aggregate given in code is malformed, or two have one type. */
export async function gatherAggregates(init: {
  readonly configDirectory: string | null
  readonly aggregates: readonly AnyAggregate[]
}): Promise<LoadedAggregates> {
  const bindings = new Map<string, AggregateBinding>()
  const problems: string[] = []
  for (const definition of init.aggregates) {
    checkAggregate(definition)
    if (bindings.has(definition.type)) {
      throw new GlynError(
        'INVALID_ARGUMENT',
        `aggregates: two have the type ${definition.type}; allowed: one`,
      )
    }
    bindings.set(definition.type, { definition, definitionId: `code:${sourceHash(definition)}` })
  }
  if (init.configDirectory === null) return { bindings, problems }
  const folder = await loadAggregates(join(init.configDirectory, 'aggregates'))
  for (const { file, message } of folder.failed)
    problems.push(message.includes(file) ? message : `${file}: ${message}`)
  for (const { file, definition, contentHash } of folder.loaded) {
    if (bindings.has(definition.type)) {
      problems.push(`${file}: aggregate type ${definition.type} is given in code too; the file is not used`)
      continue
    }
    bindings.set(definition.type, { definition, definitionId: `file:${contentHash}` })
  }
  return { bindings, problems }
}

/** Names the code of an aggregate, so that a snapshot of other code is not used. */
function sourceHash(definition: AnyAggregate): string {
  const chains = Object.entries((definition.upcast ?? {}) as Readonly<Record<string, object>>)
  const text = [
    definition.handle,
    definition.apply,
    JSON.stringify(definition.emptyState),
    ...chains.flatMap(([type, chain]) => [type, ...Object.values(chain ?? {})]),
  ]
    .map(String)
    .join('\n')
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
