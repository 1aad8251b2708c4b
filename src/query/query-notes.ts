// What a node remembers of its queries beside their read models: which are paused, and since when some have no file any more.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GlynError } from '../core/errors.ts'

export interface QueryNotes {
  isPaused(name: string): boolean
  setPaused(name: string, isPaused: boolean): void
  /** By name: wall time in milliseconds at which the query's file was gone. */
  retired(): ReadonlyMap<string, number>
  retire(name: string, timeMs: number): void
  /** There is a file again, or the read model was removed. */
  unretire(name: string): void
}

/** The names have no dots: no query is called so. */
const fileName = 'notes.json'

interface Content {
  readonly paused: readonly string[]
  readonly retired: Readonly<Record<string, string>>
}

/** Kept in `<folder>/notes.json`; null keeps them in memory. Throws EVENT_STORE_ERROR for a file that is not readable. */
export function openQueryNotes(folder: string | null): QueryNotes {
  const path = folder === null ? null : join(folder, fileName)
  const { paused: pausedNames, retired: retiredTimes } = read(path)
  const paused = new Set(pausedNames)
  const retired = new Map(Object.entries(retiredTimes).map(([name, time]) => [name, Date.parse(time)]))

  const write = (): void => {
    if (folder === null || path === null) return
    mkdirSync(folder, { recursive: true })
    const content: Content = {
      paused: [...paused].sort(),
      retired: Object.fromEntries(
        [...retired].map(([name, timeMs]) => [name, new Date(timeMs).toISOString()]),
      ),
    }
    writeFileSync(`${path}.new`, `${JSON.stringify(content, null, 2)}\n`, { flush: true })
    renameSync(`${path}.new`, path)
  }

  return {
    isPaused: name => paused.has(name),
    setPaused(name, isPaused) {
      if (paused.has(name) === isPaused) return
      if (isPaused) paused.add(name)
      else paused.delete(name)
      write()
    },
    retired: () => retired,
    retire(name, timeMs) {
      retired.set(name, timeMs)
      write()
    },
    unretire(name) {
      if (retired.delete(name)) write()
    },
  }
}

function read(path: string | null): Content {
  const nothing: Content = { paused: [], retired: {} }
  if (path === null) return nothing
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return nothing
    throw error
  }
  try {
    const { paused, retired } = JSON.parse(text) as Partial<Content>
    if (!Array.isArray(paused) || typeof retired !== 'object' || retired === null) {
      throw new Error('it has no paused and retired')
    }
    return { paused, retired }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const what = 'which queries are paused, and which have no file any more'
    throw new GlynError(
      'EVENT_STORE_ERROR',
      `${path} is damaged (${why}). It says ${what}: correct or remove it`,
      {
        cause,
      },
    )
  }
}
