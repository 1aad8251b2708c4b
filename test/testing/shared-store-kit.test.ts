// The conformance kit finds what authors of stores get wrong, and names it.
import t from 'tap'
import {
  checkClaim,
  checkSharedStore,
  sharedStoreClaims,
} from '../../src/testing/shared-store/check-shared-store.ts'
import { brokenStores, subjectOf } from './broken-shared-stores.ts'

t.test('every mistake is found, by a claim that says what to do', async t => {
  for (const { mistake, claim: pattern, says, make } of brokenStores) {
    await t.test(mistake, async t => {
      const claims = sharedStoreClaims.filter(({ name }) => pattern.test(name))
      t.ok(claims.length > 0, 'the claim exists')
      const found: string[] = []
      for (const claim of claims) {
        try {
          await checkClaim(claim, { ...subjectOf(make), timeoutMs: 2000 })
        } catch (error) {
          found.push((error as Error).message)
        }
      }
      t.not(found.length, 0, 'a claim does not hold')
      t.match(found.join('\n'), says)
      t.match(found.join('\n'), /^✗ .*\n( +done: .*\n +expected: .*\n)? *came: .*/, 'in its form')
    })
  }
})

t.test('every claim is broken by one of the mistakes', async t => {
  const unbroken = sharedStoreClaims.filter(({ name }) => !brokenStores.some(({ claim }) => claim.test(name)))
  t.strictSame(unbroken.map(({ name }) => name).toSorted(), [], 'a claim that nothing breaks proves nothing')
})

t.test('all claims that do not hold are listed in one error', async t => {
  const broken = brokenStores.find(({ mistake }) => mistake === 'isAtomic is ignored')
  const error = await checkSharedStore(subjectOf(broken?.make ?? (() => ({})))).then(
    () => null,
    error => error as Error,
  )
  t.match(error?.message, /^2 of \d+ claims do not hold:\n\n✗ an atomic call of which one is refused/)
  t.match(error?.message, /✗ atomic calls that cross each other/)
})

t.test('a store without a mistake passes', async t => {
  const names = await checkSharedStore(subjectOf(() => ({})))
  t.strictSame(
    names,
    sharedStoreClaims.map(({ name }) => name),
  )
})
