// Keys in memory: for nodes without a disk, and the model that other adapters are compared with.
import { createKeyFingerprints, firstOf } from '../key-fingerprints.ts'
import { type KeyStore, type KnownKeys, type SubjectKey, subjectsToForget } from '../key-store.ts'

export function createMemoryKeyStore(): KeyStore {
  const keys = new Map<string, SubjectKey>()
  const bySubject = new Map<string, Set<string>>()
  const forgotten = new Set<string>()
  const told = new Set<string>()
  const fingerprints = createKeyFingerprints()

  function put(key: SubjectKey): void {
    const before = keys.get(key.id)
    if (before !== undefined) fingerprints.toggle(key.id, stateOf(before))
    fingerprints.toggle(key.id, stateOf(key))
    keys.set(key.id, key)
    const siblings = bySubject.get(key.subject)
    if (siblings === undefined) bySubject.set(key.subject, new Set([key.id]))
    else siblings.add(key.id)
  }

  const keysOf = (subject: string): SubjectKey[] =>
    [...(bySubject.get(subject) ?? [])]
      .sort()
      .map(id => keys.get(id))
      .filter(key => key !== undefined)

  function destroy(subject: string): readonly SubjectKey[] {
    const destroyed = keysOf(subject).filter(({ key }) => key !== null)
    for (const { key, ...rest } of destroyed) {
      key?.fill(0)
      put({ ...rest, key: null })
    }
    return destroyed.map(key => ({ ...key, key: null }))
  }

  function join(known: KnownKeys): readonly SubjectKey[] {
    const destroyed: SubjectKey[] = []
    for (const subject of subjectsToForget(known)) {
      if (forgotten.has(subject)) continue
      forgotten.add(subject)
      fingerprints.toggle(subject, 'forgotten')
      destroyed.push(...destroy(subject))
    }
    for (const key of known.keys) {
      if (keys.has(key.id)) continue
      put({ ...key, key: forgotten.has(key.subject) ? null : (key.key?.slice() ?? null) })
    }
    return destroyed
  }

  return {
    isEmpty: () => keys.size === 0 && forgotten.size === 0,
    find: id => keys.get(id),
    keysFor: (subject, aggregate) =>
      keysOf(subject).filter(
        key => key.key !== null && key.aggregate.type === aggregate.type && key.aggregate.id === aggregate.id,
      ),
    keysOf,
    isForgotten: subject => forgotten.has(subject),
    join: known => Promise.resolve(join(known)),
    fingerprints: () => fingerprints.all(),
    bucket(bucket, { after, limit }) {
      const first = firstOf(bucket)
      const isIn = (item: string): boolean => item.startsWith(first) && item > after
      const ids = [...keys.keys()].filter(isIn).sort().slice(0, limit)
      return {
        keys: ids.map(id => keys.get(id)).filter(key => key !== undefined),
        forgotten: [...forgotten].filter(isIn).sort().slice(0, limit),
      }
    },
    untold: () => [...keys.values()].filter(({ id, key }) => key === null && !told.has(id)),
    markTold(ids) {
      for (const id of ids) told.add(id)
      return Promise.resolve()
    },
    close: () => Promise.resolve(),
  }
}

const stateOf = ({ key }: SubjectKey): 'live' | 'destroyed' => (key === null ? 'destroyed' : 'live')
