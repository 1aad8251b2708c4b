// The aggregates of a config directory.
import { type AnyAggregate, checkAggregate } from '../core/aggregate.ts'
import { loadPluginFolder, type PluginFolder } from './load-folder.ts'

/** Loads `<config>/aggregates`. Aggregates run on the main thread: they decide, and must be pure and quick. */
export function loadAggregates(
  directory: string,
  options: { readonly importTimeoutMs?: number } = {},
): Promise<PluginFolder<AnyAggregate>> {
  return loadPluginFolder<AnyAggregate>({
    directory,
    kind: 'aggregate',
    check(value) {
      checkAggregate(value)
      return value
    },
    nameOf: aggregate => aggregate.type,
    ...options,
  })
}
