// The actors of the partitions that this node leads on a shared store: those in use, those that load, those that rest.
import { LRUCache } from 'lru-cache'
import type { AggregateKey } from '../core/command.ts'
import type { SharedStore } from '../store/shared-store.ts'
import { noCipher } from '../store/subject-cipher.ts'
import { actorBytes } from './aggregate-actor.ts'
import { type AggregateBinding, actorName, defaultActorsMax, defaultCacheBytesMax } from './host-parts.ts'
import type { Quarantine } from './quarantine.ts'
import { loadSharedActor, type Proposal, type SharedActor } from './shared-actor.ts'

/** What a node keeps of one partition while it leads it. */
export interface SharedLeadership {
  readonly partition: number
  readonly term: number
  /** A deposed leader does not know it yet; then the expected sequence keeps it from doing harm. */
  canServe: boolean
  readonly actors: Map<string, SharedActor>
  readonly loading: Map<string, Promise<SharedActor>>
  /** By aggregate and command id: the same id asked again while the first is under way waits for the first. */
  readonly underWay: Map<string, Proposal>
}

export const createSharedLeadership = (
  init: Pick<SharedLeadership, 'partition' | 'term' | 'canServe'>,
): SharedLeadership => ({ ...init, actors: new Map(), loading: new Map(), underWay: new Map() })

/** Histories that are read at the same time; others wait. */
const loadsMax = 64

export interface SharedActors {
  /** Held until it is released. At once, if it is in memory. Rejects as the store does, and with AGGREGATE_FAILED. */
  acquire(
    leadership: SharedLeadership,
    key: AggregateKey,
    binding: AggregateBinding,
  ): SharedActor | Promise<SharedActor>
  release(leadership: SharedLeadership, actor: SharedActor): void
  /** It is not what the store holds. */
  forget(leadership: SharedLeadership, actor: SharedActor): void
}

export function createSharedActors(init: {
  readonly store: Pick<SharedStore, 'readStream' | 'latestSnapshot'>
  readonly cache: { readonly actorsMax?: number; readonly bytesMax?: number }
  readonly quarantine: Quarantine
  readonly isCurrent: (leadership: SharedLeadership) => boolean
}): SharedActors {
  const { store, isCurrent } = init
  const loader = init.quarantine.guard({ load: actor => loadSharedActor(store, actor) })
  const idle = new LRUCache<string, SharedActor>({
    max: init.cache.actorsMax ?? defaultActorsMax,
    maxSize: init.cache.bytesMax ?? defaultCacheBytesMax,
    sizeCalculation: actorBytes,
  })
  let loads = 0
  const waiting: (() => void)[] = []

  /** One of them at a time for each aggregate: whoever wants it waits for the same. */
  async function load(
    leadership: SharedLeadership,
    key: AggregateKey,
    binding: AggregateBinding,
  ): Promise<SharedActor> {
    while (loads >= loadsMax) await new Promise<void>(resolve => waiting.push(resolve))
    loads += 1
    try {
      const { partition, term } = leadership
      const wanted = {
        key,
        ...binding,
        partition,
        term,
        throughIndex: Number.MAX_SAFE_INTEGER,
        cipher: noCipher,
      }
      const actor = (await loader.load(wanted, () => true)) as SharedActor
      leadership.actors.set(actorName(key), actor)
      return actor
    } finally {
      loads -= 1
      leadership.loading.delete(actorName(key))
      waiting.shift()?.()
    }
  }

  function inMemory(
    leadership: SharedLeadership,
    name: string,
    binding: AggregateBinding,
  ): SharedActor | undefined {
    const active = leadership.actors.get(name)
    if (active !== undefined) return active
    const cached = idle.get(name)
    const isSame =
      cached?.term === leadership.term &&
      cached.partition === leadership.partition &&
      cached.definition === binding.definition
    if (!isSame) return undefined
    idle.delete(name)
    leadership.actors.set(name, cached)
    return cached
  }

  async function held(loading: Promise<SharedActor>): Promise<SharedActor> {
    const actor = await loading
    actor.pending += 1
    return actor
  }

  return {
    acquire(leadership, key, binding) {
      const name = actorName(key)
      const found = inMemory(leadership, name, binding)
      if (found !== undefined) {
        found.pending += 1
        return found
      }
      let loading = leadership.loading.get(name)
      if (loading === undefined) {
        loading = load(leadership, key, binding)
        leadership.loading.set(name, loading)
      }
      return held(loading)
    },
    release(leadership, actor) {
      actor.pending -= 1
      if (actor.pending > 0 || actor.isForgotten) return
      const name = actorName(actor.key)
      if (leadership.actors.get(name) === actor) leadership.actors.delete(name)
      if (isCurrent(leadership)) idle.set(name, actor)
    },
    forget(leadership, actor) {
      actor.isForgotten = true
      const name = actorName(actor.key)
      if (leadership.actors.get(name) === actor) leadership.actors.delete(name)
      if (idle.peek(name) === actor) idle.delete(name)
    },
  }
}
