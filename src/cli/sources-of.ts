import type { Io } from './io.ts'
import type { Sources } from './settings.ts'

/** Flags by their long names, as settings want them. */
export function sourcesOf(io: Io, flags: object): Sources {
  const byName = Object.entries(flags).map(([key, value]): [string, unknown] => [
    key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`),
    value,
  ])
  return { flags: Object.fromEntries(byName), env: io.env, cwd: io.cwd }
}
