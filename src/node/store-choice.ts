// Where the events of a node rest: on its own disk, in its memory, or in a store that all nodes reach.
import { GlynError } from '../core/errors.ts'
import type { SharedStore } from '../store/shared-store.ts'
import { type GlynStore, isGlynStore } from './glyn-store.ts'
import type { InnerStore, LocalStoreChoice } from './inner-store.ts'
import { type CompleteNodeOptions, type NodeOptions, nodeDefaults } from './node-options.ts'

export interface ChosenStore {
  readonly options: CompleteNodeOptions
  /** Undefined: the events rest on the node. */
  readonly shared: SharedStore | undefined
  /** Told of the node when it runs. */
  readonly wrapper: GlynStore | undefined
}

/** Decides everything that may be left out. Throws INVALID_ARGUMENT for what does not go together. */
export function chooseStore(given: NodeOptions): ChosenStore {
  const wrapper = isGlynStore(given.store) ? given.store : undefined
  const inner = isGlynStore(given.store) ? given.store.inner : given.store
  const topic = agreed('topic', given.topic, wrapper?.topic)
  const scope = agreed('scope', given.scope, wrapper?.scope) ?? nodeDefaults.scope
  if (topic === undefined) throw missing('topic', 'a name, here or in glynStore')
  const local = inner !== undefined && isLocalChoice(inner) ? inner : undefined
  const shared = inner === undefined || isLocalChoice(inner) ? undefined : checkShared(inner)
  const dataDirectory =
    local === undefined ? given.dataDirectory : agreed('dataDirectory', given.dataDirectory, local.path)
  if (dataDirectory === undefined) throw missing('dataDirectory', 'a folder, or null: everything in memory')
  const queries = [...(wrapper?.queries ?? []), ...(given.queries ?? [])]
  return {
    options: { ...nodeDefaults, ...given, topic, scope, dataDirectory, queries },
    shared,
    wrapper,
  }
}

const isLocalChoice = (store: InnerStore): store is LocalStoreChoice =>
  'kind' in store && store.kind === 'local'

const sharedMethods = [
  'open',
  'cluster',
  'append',
  'readStream',
  'sequences',
  'readCommand',
  'readLog',
  'heads',
  'latestSnapshot',
  'writeSnapshots',
  'aggregates',
  'statistics',
  'close',
] as const satisfies readonly (keyof SharedStore)[]

/** A custom store may be written in JavaScript. */
function checkShared(store: SharedStore): SharedStore {
  const absent = sharedMethods.filter(method => typeof store[method] !== 'function')
  if (absent.length === 0 && typeof store.location === 'string') return store
  const what = absent.length === 0 ? 'location' : absent.join(', ')
  throw new GlynError(
    'INVALID_ARGUMENT',
    `store lacks ${what}; allowed: sqliteStore, memoryStore, glynStore, or an object with all of a SharedStore`,
  )
}

function agreed<T>(field: string, given: T | undefined, wrapped: T | undefined): T | undefined {
  if (given === undefined) return wrapped
  if (wrapped === undefined || given === wrapped) return given
  throw new GlynError(
    'INVALID_ARGUMENT',
    `${field} is ${JSON.stringify(given)}; allowed: what the store says, ${JSON.stringify(wrapped)}, or left out`,
  )
}

const missing = (field: string, allowed: string): GlynError =>
  new GlynError('INVALID_ARGUMENT', `${field} is missing; allowed: ${allowed}`)
