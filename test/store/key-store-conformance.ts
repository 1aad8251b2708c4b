// What every store of keys must do.
import type { Test } from 'tap'
import { createSubjectKey } from '../../src/store/event-cipher.ts'
import { type KeyStore, keyBuckets } from '../../src/store/key-store.ts'

const subject = (name: string): string => name.padEnd(43, 'x')
const account = (id: string) => ({ type: 'account', id })

export async function testKeyStore(t: Test, open: () => Promise<KeyStore>): Promise<void> {
  await t.test('a key is found by its id, and by its subject and aggregate', async t => {
    const store = await open()
    t.equal(store.isEmpty(), true)
    t.equal(store.find('unknown'), undefined)
    const key = createSubjectKey(subject('ann'), account('1'))
    t.same(await store.join({ keys: [key], forgotten: [] }), [])
    t.equal(store.isEmpty(), false)
    t.same(store.find(key.id), key)
    t.same(store.keysFor(subject('ann'), account('1')), [key])
    t.same(store.keysFor(subject('ann'), account('2')), [], 'not of another aggregate')
    t.same(store.keysFor(subject('bob'), account('1')), [], 'not of another subject')
    await store.join({ keys: [{ ...key, key: new Uint8Array(32) }], forgotten: [] })
    t.same(store.find(key.id), key, 'it never changes')
  })

  await t.test('a subject that is forgotten loses its keys, and none ever comes back', async t => {
    const store = await open()
    const [ann, bob, late] = ['ann', 'bob', 'ann'].map((name, place) =>
      createSubjectKey(subject(name), account(`${place}`)),
    ) as [
      ReturnType<typeof createSubjectKey>,
      ReturnType<typeof createSubjectKey>,
      ReturnType<typeof createSubjectKey>,
    ]
    await store.join({ keys: [ann, bob], forgotten: [] })
    const destroyed = await store.join({ keys: [], forgotten: [subject('ann')] })
    t.same(destroyed, [{ ...ann, key: null }])
    t.same(store.find(ann.id), { ...ann, key: null })
    t.same(store.keysFor(subject('ann'), account('0')), [])
    t.same(store.find(bob.id), bob, 'others stay')
    t.same(await store.join({ keys: [ann, late], forgotten: [] }), [], 'nothing was here to destroy')
    t.equal(store.find(ann.id)?.key, null, 'the same key does not come back')
    t.equal(store.find(late.id)?.key, null, 'nor one that was made elsewhere meanwhile')
    t.ok(store.isForgotten(subject('ann')))
    t.same(await store.join({ keys: [], forgotten: [subject('ann')] }), [], 'again: nothing')
  })

  await t.test(
    'one that is known to be destroyed elsewhere is destroyed here, with all of its subject',
    async t => {
      const store = await open()
      const here = createSubjectKey(subject('ann'), account('1'))
      const there = createSubjectKey(subject('ann'), account('2'))
      await store.join({ keys: [here], forgotten: [] })
      await store.join({ keys: [{ ...there, key: null }], forgotten: [] })
      t.equal(store.find(here.id)?.key, null)
      t.equal(store.find(there.id)?.key, null)
    },
  )

  await t.test('in one call, forgetting wins over a key of the same subject', async t => {
    const store = await open()
    const key = createSubjectKey(subject('ann'), account('1'))
    await store.join({ keys: [key], forgotten: [subject('ann')] })
    t.equal(store.find(key.id)?.key, null)
  })

  await t.test('what was destroyed is untold until it is told', async t => {
    const store = await open()
    const key = createSubjectKey(subject('ann'), account('1'))
    await store.join({ keys: [key], forgotten: [] })
    t.same(store.untold(), [])
    await store.join({ keys: [], forgotten: [subject('ann')] })
    t.same(store.untold(), [{ ...key, key: null }])
    await store.markTold([key.id])
    t.same(store.untold(), [])
  })

  await t.test(
    'two that know the same have the same fingerprints, in whatever order they came to know it',
    async t => {
      const [one, other] = [await open(), await open()]
      const keys = Array.from({ length: 200 }, (_, n) =>
        createSubjectKey(subject(`s${n % 50}`), account(`${n}`)),
      )
      await one.join({ keys, forgotten: [] })
      await one.join({ keys: [], forgotten: [subject('s3')] })
      await other.join({ keys: [], forgotten: [subject('s3')] })
      for (let end = 200; end > 0; end -= 20) {
        await other.join({ keys: keys.slice(end - 20, end).toReversed(), forgotten: [] })
      }
      t.same(other.fingerprints(), one.fingerprints())
      t.equal(one.fingerprints().length, keyBuckets)
      await other.join({ keys: [], forgotten: [subject('s4')] })
      t.strictNotSame(other.fingerprints(), one.fingerprints())
    },
  )

  await t.test('its buckets hold everything, in pages', async t => {
    const store = await open()
    const keys = Array.from({ length: 300 }, (_, n) => createSubjectKey(subject(`s${n}`), account(`${n}`)))
    await store.join({ keys, forgotten: [subject('s7'), subject('never seen')] })
    const found = new Set<string>()
    const forgotten = new Set<string>()
    for (let bucket = 0; bucket < keyBuckets; bucket += 1) {
      for (let after = ''; ; ) {
        const page = store.bucket(bucket, { after, limit: 2 })
        for (const { id } of page.keys) found.add(id)
        for (const name of page.forgotten) forgotten.add(name)
        const last = page.keys.at(-1)?.id
        if (page.keys.length < 2 || last === undefined) break
        after = last
      }
    }
    t.equal(found.size, 300)
    t.same([...forgotten].sort(), [subject('never seen'), subject('s7')].sort())
  })

  await t.test('many calls at the same time', async t => {
    const store = await open()
    const keys = Array.from({ length: 500 }, (_, n) =>
      createSubjectKey(subject(`s${n % 5}`), account(`${n}`)),
    )
    await Promise.all([
      ...keys.slice(0, 250).map(key => store.join({ keys: [key], forgotten: [] })),
      store.join({ keys: [], forgotten: [subject('s2')] }),
      ...keys.slice(250).map(key => store.join({ keys: [key], forgotten: [] })),
    ])
    for (const key of keys) {
      const isGone = key.subject === subject('s2')
      t.equal(store.find(key.id)?.key === null, isGone)
    }
  })
}
