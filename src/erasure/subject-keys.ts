// The cipher of a node: finds or makes the key of a subject, and lets nothing be proposed before it is durable.
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { StoredEvent } from '../core/record.ts'
import { isLikeSealed, parseSealed } from '../core/sealed-data.ts'
import {
  createSubjectKey,
  openRow,
  openState,
  referenceOf,
  sealRecord,
  sealState,
} from '../store/event-cipher.ts'
import type { KeyStore, SubjectKey } from '../store/key-store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import type { KeyExchange } from './key-exchange.ts'

/** A key that nobody has is asked for again and again, but not more often than this. */
const fetchAgainMs = 250

export function createSubjectKeys(init: {
  readonly scope: string
  readonly store: KeyStore
  readonly exchange: KeyExchange
  readonly clock: Clock
}): SubjectCipher {
  const { scope, store, exchange, clock } = init
  /** By subject and aggregate: two commands at the same time need one key. */
  const making = new Map<string, Promise<SubjectKey | undefined>>()
  const fetching = new Map<string, Promise<void>>()

  async function makeKey(subject: string, aggregate: AggregateKey): Promise<SubjectKey | undefined> {
    const key = createSubjectKey(subject, aggregate)
    await exchange.join({ keys: [key], forgotten: [] })
    // Not there when its subject was forgotten meanwhile.
    return store.keysFor(subject, aggregate).find(({ id }) => id === key.id)
  }

  function keyFor(subject: string, aggregate: AggregateKey): Promise<SubjectKey | undefined> {
    const [known] = store.keysFor(subject, aggregate)
    if (known !== undefined) return Promise.resolve(known)
    const name = JSON.stringify([subject, aggregate.type, aggregate.id])
    const underWay = making.get(name)
    if (underWay !== undefined) return underWay
    const made = makeKey(subject, aggregate).finally(() => making.delete(name))
    making.set(name, made)
    return made
  }

  async function prepare(partition: number, aggregate: AggregateKey, subject: string): Promise<void> {
    const reference = referenceOf(scope, subject)
    if (store.isForgotten(reference)) return
    const key = await keyFor(reference, aggregate)
    if (key !== undefined) await exchange.makeDurable(key, partition)
  }

  function fetch(key: string): Promise<void> {
    const underWay = fetching.get(key)
    if (underWay !== undefined) return underWay
    const fetched = fetchNow(key).finally(() => fetching.delete(key))
    fetching.set(key, fetched)
    return fetched
  }

  async function fetchNow(key: string): Promise<void> {
    await exchange.whenReady()
    if (store.find(key) !== undefined || (await exchange.fetch(key))) return
    await new Promise<void>(resolve => void clock.after(fetchAgainMs, resolve))
    throw new GlynError(
      'KEY_UNAVAILABLE',
      `key ${key} is not on this node, and no member that was asked has it`,
      {
        details: { key },
      },
    )
  }

  function open(row: StoredEvent): StoredEvent {
    if (!isLikeSealed(row.data)) return row
    const id = parseSealed(row.data)?.keys[0]
    if (id === undefined) return row
    // What was forgotten while this node was away is not to be opened any more.
    if (exchange.isReady() && store.find(id) !== undefined) return openRow(store, row)
    // Whoever tries again finds it.
    fetch(id).catch(() => undefined)
    const name = `${row.aggregateType}/${row.aggregateId}/${row.sequence}`
    throw new GlynError('KEY_UNAVAILABLE', `event ${name}: its key ${id} is not on this node yet`, {
      details: { key: id },
    })
  }

  return {
    open,
    fetch,
    seal(partition, record, subjects) {
      const keys: (SubjectKey | undefined)[] = []
      for (const subject of subjects) {
        if (subject === undefined) {
          keys.push(undefined)
          continue
        }
        const reference = referenceOf(scope, subject)
        if (store.isForgotten(reference)) throw forgotten(record.aggregate)
        const key = store
          .keysFor(reference, record.aggregate)
          .find(({ id }) => exchange.isDurable(id, partition))
        if (key === undefined) return undefined
        keys.push(key)
      }
      return { record: sealRecord(record, keys), keys: keys.map(key => key?.id) }
    },
    async prepare(partition, aggregate, subjects) {
      await Promise.all(subjects.map(subject => prepare(partition, aggregate, subject)))
    },
    sealState: (state, place) => sealState(store, state, place),
    openState: (state, place) =>
      isLikeSealed(state) && !exchange.isReady() ? undefined : openState(store, state, place),
  }
}

const forgotten = ({ type, id }: AggregateKey): GlynError =>
  new GlynError(
    'SUBJECT_FORGOTTEN',
    `${type} ${id}: the subject of its events was forgotten, and nothing is stored for it any more; use another name for a subject that begins anew`,
  )
