// Who votes and who only listens. Rests in the log as the payload of a `config` entry.
import { invariant } from '../core/assert.ts'
import type { ReplicaId } from '../core/replica-id.ts'

export interface Configuration {
  readonly voters: readonly ReplicaId[]
  readonly learners: readonly ReplicaId[]
}

/** A configuration and the index of the entry that holds it. */
export interface ConfigurationEntry {
  readonly index: number
  readonly configuration: Configuration
}

export const emptyConfiguration: Configuration = { voters: [], learners: [] }

/** The payload of a `config` entry: JSON text in UTF-8, members sorted, so that equal means equal bytes. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const sorted = { voters: [...configuration.voters].sort(), learners: [...configuration.learners].sort() }
  return new TextEncoder().encode(JSON.stringify(sorted))
}

/** The configuration in the payload of a `config` entry. Unknown fields are tolerated. */
export function decodeConfiguration(payload: Uint8Array): Configuration {
  const parsed = JSON.parse(new TextDecoder().decode(payload)) as Partial<Configuration>
  const { voters, learners } = parsed
  invariant(
    Array.isArray(voters) && Array.isArray(learners),
    'config entry: voters and learners must be lists',
  )
  return { voters, learners }
}
