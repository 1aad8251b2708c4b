// The first entry of a new partition: the configuration it starts with.
import { type Configuration, encodeConfiguration } from './configuration.ts'
import { type Entry, genesisHash, type HashEntry } from './entry.ts'

/**
 * Entry 1, term 1. The driver makes it durable, together with the hard state `{ term: 1, vote: null, commit: 1 }`,
 * on every replica of the configuration before it creates their state machines.
 */
export function bootstrapEntry(init: {
  readonly configuration: Configuration
  readonly hashEntry: HashEntry
}): Entry {
  const payload = encodeConfiguration(init.configuration)
  const draft = { index: 1, term: 1, kind: 'config', payload } as const
  return { ...draft, hash: init.hashEntry(genesisHash, draft) }
}
