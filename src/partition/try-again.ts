// A command or read that met something that is not ready: a key that has to be made or fetched, an actor that knows what was
// forgotten. It begins anew when that has changed, so that nothing it saw before counts.
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'

/** How long one call begins anew. Its caller may have given up before. */
const triesMsMax = 10_000

/** Never leaves the host. */
export class TryAgain extends Error {
  override readonly name = 'TryAgain'
  readonly until: () => Promise<void>

  constructor(why: string, until: () => Promise<void>) {
    super(why)
    this.until = until
  }
}

export async function again<Result>(
  init: { readonly cipher: SubjectCipher; readonly clock: Clock },
  action: () => Promise<Result>,
): Promise<Result> {
  const { cipher, clock } = init
  let deadline: number | undefined
  for (;;) {
    try {
      return await action()
    } catch (error) {
      const wait = waitOf(cipher, error)
      if (wait === undefined) throw error
      deadline ??= clock.now() + triesMsMax
      if (clock.now() >= deadline) {
        const why = error instanceof Error ? error.message : String(error)
        throw new GlynError('UNAVAILABLE', `${why}; not within ${triesMsMax} ms`, { cause: error })
      }
      await wait()
    }
  }
}

function waitOf(cipher: SubjectCipher, error: unknown): (() => Promise<void>) | undefined {
  if (error instanceof TryAgain) return error.until
  if (!hasCode(error, 'KEY_UNAVAILABLE')) return undefined
  const { key } = error.details as { readonly key: string }
  return () => cipher.fetch(key)
}
