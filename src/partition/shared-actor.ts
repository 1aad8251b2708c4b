// An aggregate on the leader of its partition, where the events rest in a shared store: loaded page by page.
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { CommandRecord, StoredEvent } from '../core/record.ts'
import type { SharedStore } from '../store/shared-store.ts'
import {
  type AggregateActor,
  loadPageEvents,
  newActor,
  standStill,
  takeCommitted,
} from './aggregate-actor.ts'
import type { AggregateBinding } from './host-parts.ts'

export interface SharedActor extends AggregateActor {
  readonly definitionId: string
  /** What it holds is not what the store holds: whoever has it takes another one. */
  isForgotten: boolean
  /** In their order; the first is answered first. */
  readonly underWay: Proposal[]
}

/**
 * `stale`: it was decided on something that is not so, and is not written under this decision; `sequence` where the store
 * has said where the aggregate is. `failed`: nobody knows.
 */
export type ProposalAnswer =
  | { readonly type: 'appended'; readonly index: number }
  | { readonly type: 'duplicate'; readonly events: readonly StoredEvent[] }
  | { readonly type: 'stale'; readonly sequence?: number }
  | { readonly type: 'failed'; readonly error: GlynError }

export interface Proposal {
  readonly actor: SharedActor
  readonly record: CommandRecord
  readonly stateAfter: unknown
  readonly bytes: number
  /** Never rejects. */
  readonly answer: Promise<ProposalAnswer>
  readonly settle: (answer: ProposalAnswer) => void
}

/** From a snapshot of this code, if there is one, and the events after it. */
export async function loadSharedActor(
  store: Pick<SharedStore, 'readStream' | 'latestSnapshot'>,
  init: AggregateBinding & { readonly key: AggregateKey; readonly partition: number; readonly term: number },
): Promise<SharedActor> {
  const { key } = init
  const snapshot = await usableSnapshot(store, init)
  const actor: SharedActor = {
    ...newActor(init, snapshot),
    definitionId: init.definitionId,
    isForgotten: false,
    underWay: [],
  }
  for (;;) {
    const fromSequence = actor.committedSequence + 1
    const page = await store.readStream(key, { fromSequence, limit: loadPageEvents })
    for (const event of page) {
      if (event.sequence !== actor.committedSequence + 1) throw gap(key, actor.committedSequence, event)
      takeCommitted(actor, event)
    }
    if (page.length < loadPageEvents) break
  }
  standStill(actor)
  return actor
}

const gap = ({ type, id }: AggregateKey, before: number, { sequence }: StoredEvent): GlynError =>
  new GlynError('EVENT_STORE_ERROR', `the store gave event ${sequence} of ${type}/${id} after ${before}`)

/** The last event that it holds says where it rests. Without that event it is a snapshot of another history. */
async function usableSnapshot(
  store: Pick<SharedStore, 'readStream' | 'latestSnapshot'>,
  { key, definition, definitionId }: AggregateBinding & { readonly key: AggregateKey },
): Promise<{ readonly state: string; readonly sequence: number; readonly index: number } | undefined> {
  if (definition.snapshotEvery === undefined) return undefined
  const found = await store.latestSnapshot(key)
  if (found === undefined || found.definition !== definitionId) return undefined
  const [last] = await store.readStream(key, { fromSequence: found.sequence, limit: 1 })
  if (last?.sequence !== found.sequence) return undefined
  return { state: found.state, sequence: found.sequence, index: last.index }
}
