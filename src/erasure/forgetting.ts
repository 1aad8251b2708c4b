// Forgets a subject on every member, and says who has confirmed. Who is away hears of it when it comes back.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import { checkName } from '../core/names.ts'
import type { Rpc } from '../mesh/rpc.ts'
import { referenceOf } from '../store/event-cipher.ts'
import type { KeyStore } from '../store/key-store.ts'
import type { KeyExchange } from './key-exchange.ts'
import { decodeJson, encodeJson } from './known-keys-codec.ts'
import type { Tombstones } from './tombstones.ts'

const forgetMethod = 'subject.forget'
const statusMethod = 'subject.status'
/** Who has not confirmed is asked again after this long. */
const askAgainMs = 250

/** What one member says. */
export interface MemberMemory {
  readonly peerId: string
  readonly name: string
  /**
   * `forgotten`: its keys are destroyed, and none comes back. `remembers`: they are not. `unknown`: it did not answer; it
   * forgets as soon as another member tells it that the subject is forgotten.
   */
  readonly state: 'forgotten' | 'remembers' | 'unknown'
  /** Keys of the subject, destroyed or not: one for each aggregate. Null when it did not answer. */
  readonly keys: number | null
  /** Aggregates that it leads whose log does not say yet that they are forgotten. Null when it did not answer when it was asked last. */
  readonly untold: number | null
  /** Why it did not answer when it was asked last. */
  readonly error: string | null
}

/** What became of a subject, member by member. */
export interface SubjectReport {
  /** As it was given. */
  readonly subject: string
  /** Stands for the subject in the files of keys. */
  readonly reference: string
  /** Every member has destroyed its keys, and the log of every aggregate says so. */
  readonly complete: boolean
  readonly members: readonly MemberMemory[]
}

/** How a subject is forgotten. */
export interface ForgetOptions {
  /** How long to wait for members that do not confirm. Default 10 000. */
  readonly timeoutMs?: number
  /** Also a subject that no member that answered has a key of: it may have been misspelt. */
  readonly force?: boolean
  readonly signal?: AbortSignal
}

export interface Forgetting {
  /** Throws ENTITY_NOT_FOUND for a subject without keys, unless it is forced. */
  forget(subject: string, options: ForgetOptions & { readonly timeoutMs: number }): Promise<SubjectReport>
  status(
    subject: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<SubjectReport>
}

type Answer = Pick<MemberMemory, 'state' | 'keys' | 'untold'>

/**
 * Keys that are destroyed do not come back: who confirmed that, and does not answer when it is asked again, has forgotten.
 * Whether the logs say so has to be asked.
 */
function keepConfirmation(confirmed: Map<string, MemberMemory>, answer: MemberMemory): MemberMemory {
  const { peerId, state, error } = answer
  if (state === 'forgotten') confirmed.set(peerId, answer)
  const earlier = confirmed.get(peerId)
  return state === 'unknown' && earlier !== undefined ? { ...earlier, untold: null, error } : answer
}

export function createForgetting(init: {
  readonly self: string
  readonly scope: string
  readonly store: KeyStore
  readonly exchange: KeyExchange
  readonly tombstones: Tombstones
  readonly rpc: Rpc
  readonly clock: Clock
  readonly members: () => readonly { readonly peerId: string; readonly name: string }[]
}): Forgetting {
  const { self, scope, store, exchange, tombstones, rpc, clock, members } = init

  const here = (reference: string): Answer => ({
    state: store.isForgotten(reference) ? 'forgotten' : 'remembers',
    keys: store.keysOf(reference).length,
    untold: tombstones.pending(reference),
  })

  async function forgetHere(reference: string): Promise<Answer> {
    await exchange.join({ keys: [], forgotten: [reference] })
    return here(reference)
  }

  async function ask(
    method: string,
    reference: string,
    member: { readonly peerId: string; readonly name: string },
    options: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<MemberMemory> {
    const { timeoutMs, signal } = options
    try {
      if (member.peerId === self) {
        const own = method === forgetMethod ? await forgetHere(reference) : here(reference)
        return { ...member, ...own, error: null }
      }
      const body = await rpc.request(member.peerId, method, encodeJson({ reference }), {
        timeoutMs,
        ...(signal === undefined ? {} : { signal }),
      })
      return { ...member, ...decodeJson<Answer>(body), error: null }
    } catch (error) {
      signal?.throwIfAborted()
      const why = error instanceof Error ? error.message : String(error)
      return { ...member, state: 'unknown', keys: null, untold: null, error: why }
    }
  }

  const report = (subject: string, reference: string, found: readonly MemberMemory[]): SubjectReport => ({
    subject,
    reference,
    complete: found.every(({ state, untold }) => state === 'forgotten' && untold === 0),
    members: [...found].sort((a, b) => (a.name < b.name ? -1 : 1)),
  })

  async function askAll(
    method: string,
    reference: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<readonly MemberMemory[]> {
    return await Promise.all(
      members().map(member =>
        ask(method, reference, member, { timeoutMs: options.timeoutMs, signal: options.signal }),
      ),
    )
  }

  for (const [method, answer] of [
    [forgetMethod, forgetHere],
    [statusMethod, here],
  ] as const) {
    rpc.serve(method, async (from, body) => {
      if (!members().some(({ peerId }) => peerId === from)) {
        throw new GlynError('UNAUTHORIZED', `${method}: ${from} is no member of this cluster`)
      }
      const { reference } = decodeJson<{ readonly reference: unknown }>(body)
      if (typeof reference !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(reference)) {
        throw new GlynError('INVALID_ARGUMENT', `${method}: the reference cannot be read`)
      }
      return encodeJson(await answer(reference))
    })
  }

  return {
    async status(subject, options) {
      checkName('subject', subject)
      const reference = referenceOf(scope, subject)
      return report(subject, reference, await askAll(statusMethod, reference, options))
    },
    async forget(subject, { timeoutMs, force = false, signal }) {
      checkName('subject', subject)
      const reference = referenceOf(scope, subject)
      const deadline = clock.now() + timeoutMs
      const leftMs = (): number => Math.max(1, deadline - clock.now())
      if (!force) {
        const known = await askAll(statusMethod, reference, { timeoutMs: Math.min(2000, leftMs()), signal })
        if (known.every(({ state, keys }) => state !== 'forgotten' && (keys ?? 0) === 0)) {
          const count = known.filter(({ state }) => state !== 'unknown').length
          throw new GlynError(
            'ENTITY_NOT_FOUND',
            `nothing is encrypted for the subject ${JSON.stringify(subject)} on the ${count} of ${known.length} members that answered; look at how it is written, or force it`,
          )
        }
      }
      // Durable here first: from now on it spreads by itself, whatever becomes of this call.
      await forgetHere(reference)
      const confirmed = new Map<string, MemberMemory>()
      for (;;) {
        const timeout = Math.min(5000, leftMs())
        const answers = await askAll(forgetMethod, reference, { timeoutMs: timeout, signal })
        const found = answers.map(answer => keepConfirmation(confirmed, answer))
        const said = report(subject, reference, found)
        if (said.complete || clock.now() + askAgainMs >= deadline) return said
        await new Promise<void>(resolve => void clock.after(askAgainMs, resolve))
        signal?.throwIfAborted()
      }
    },
  }
}
