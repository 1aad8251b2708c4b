// What `doctor` says of one thing: how it is, and what to do.

export interface DoctorCheck {
  /** What was looked at: `history`, `disk`. */
  readonly name: string
  /** `warning` is worth a look and no failure; `skipped` could not be looked at, and the text says why. */
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped'
  readonly text: string
  /** What to do about it; null when there is nothing to do. */
  readonly remedy: string | null
  /** For programs. */
  readonly details?: unknown
}

export interface DoctorProgress {
  /** `replaying`, `verifying`. */
  readonly what: string
  readonly done: number
  readonly total: number
}

export interface DoctorOptions {
  readonly dataDirectory: string
  /** Null when there is no config folder. */
  readonly configDirectory: string | null
  /** Also replays every aggregate, and verifies the hash chains and the database file. Reads the whole history. */
  readonly deep: boolean
  readonly onProgress?: (progress: DoctorProgress) => void
}

export const ok = (name: string, text: string, details?: unknown): DoctorCheck => ({
  name,
  state: 'ok',
  text,
  remedy: null,
  ...(details === undefined ? {} : { details }),
})

export const notOk = (
  name: string,
  text: string,
  more: { readonly remedy: string; readonly state?: 'warning' | 'failed'; readonly details?: unknown },
): DoctorCheck => ({
  name,
  state: more.state ?? 'failed',
  text,
  remedy: more.remedy,
  ...(more.details === undefined ? {} : { details: more.details }),
})

export const skipped = (name: string, text: string, remedy: string | null = null): DoctorCheck => ({
  name,
  state: 'skipped',
  text,
  remedy,
})

export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
