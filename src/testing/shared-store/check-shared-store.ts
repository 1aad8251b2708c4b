// The conformance kit of shared stores: runs every claim on the author's store and says in words what is wrong.
import type { SharedStore } from '../../store/shared-store.ts'
import { appendClaims } from './append-claims.ts'
import { BrokenClaim, binding, inShort, type SharedStoreClaim } from './claim.ts'
import { concurrencyClaims } from './concurrency-claims.ts'
import { lifeClaims } from './life-claims.ts'
import { readClaims } from './read-claims.ts'
import { textClaims } from './text-claims.ts'
import { transactionClaims } from './transaction-claims.ts'

export interface SharedStoreSubject {
  /**
   * A store object, not opened yet, for the data of this name: a schema, a file, an entry of a Map. One name is always the
   * same data, as another node would reach it; a name that was not seen before is empty. Names are lower-case letters,
   * digits and `_`, at most 40 of them.
   */
  readonly create: (place: string) => SharedStore | Promise<SharedStore>
  /** Removes the data of a name, after its stores are closed. */
  readonly remove?: (place: string) => void | Promise<void>
  /** For one claim. Default: 60,000. */
  readonly timeoutMs?: number
}

/** Every claim, for a test runner that wants to run and report them one by one with {@link checkClaim}. */
export const sharedStoreClaims: readonly SharedStoreClaim[] = [
  ...lifeClaims,
  ...appendClaims,
  ...transactionClaims,
  ...concurrencyClaims,
  ...readClaims,
  ...textClaims,
]

/**
 * Runs every claim, one after the other, each on data of its own. Resolves with the names of those that hold, which are all; rejects with an
 * Error that lists every claim that does not hold: what was done, what was expected, what came, and what to do.
 */
export async function checkSharedStore(subject: SharedStoreSubject): Promise<readonly string[]> {
  const broken: string[] = []
  for (const claim of sharedStoreClaims) {
    try {
      await checkClaim(claim, subject)
    } catch (error) {
      broken.push(error instanceof Error ? error.message : String(error))
    }
  }
  if (broken.length === 0) return sharedStoreClaims.map(claim => claim.name)
  throw new Error(
    `${broken.length} of ${sharedStoreClaims.length} claims do not hold:\n\n${broken.join('\n\n')}`,
  )
}

let placesMade = 0

/** Runs one claim. Rejects with an Error whose message is the claim and what is wrong. */
export async function checkClaim(claim: SharedStoreClaim, subject: SharedStoreSubject): Promise<void> {
  placesMade += 1
  const place = `kit_${Date.now().toString(36)}_${process.pid}_${placesMade}`
  const stores: SharedStore[] = []
  const unopened = async (): Promise<SharedStore> => {
    const store = await subject.create(place)
    stores.push(store)
    return store
  }
  const open = async (): Promise<SharedStore> => {
    const store = await unopened()
    await store.open(binding)
    return store
  }
  try {
    await inTime(subject.timeoutMs ?? 60_000, claim.check({ open, unopened }))
    await inTime(subject.timeoutMs ?? 60_000, closeAll(stores))
  } catch (error) {
    await inTime(5000, closeAll(stores)).catch(() => {
      // The claim does not hold already; that its stores do not close either would hide why.
    })
    throw new Error(`✗ ${claim.name}\n${indented(error)}`, { cause: error })
  } finally {
    await subject.remove?.(place)
  }
}

async function closeAll(stores: readonly SharedStore[]): Promise<void> {
  await Promise.all(stores.map(store => store.close()))
}

function indented(error: unknown): string {
  const text =
    error instanceof BrokenClaim
      ? error.message
      : `came:     the error ${inShort(error)}${error instanceof Error ? `\n${error.stack}` : ''}\nto do:    no call of this claim may fail: look where the error comes from`
  return text.replaceAll(/^/gm, '  ')
}

async function inTime<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    reject(
      new BrokenClaim({
        did: 'every call of this claim',
        expected: `that they end within ${timeoutMs} ms`,
        came: 'one that does not end',
        advice: 'look for a promise that nobody settles, and for calls that wait for each other',
      }),
    )
  }, timeoutMs)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
