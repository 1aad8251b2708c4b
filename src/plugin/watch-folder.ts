// Watches a folder of plugins. Whatever the file system reports is only a reason to look: what counts is what lies there
// when it has come to rest.
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import type { Cancel, Clock } from '../core/clock.ts'
import { listPluginFiles, type PluginFiles } from './plugin-files.ts'
import { hashBytes } from './plugin-parts.ts'

export interface FolderView extends PluginFiles {
  /** SHA-256, hex, of the parts that were asked for; something else for one that cannot be read. */
  readonly hashes: ReadonlyMap<string, string>
  /** Over all helpers of the folder. */
  readonly helpersHash: string
}

export interface WatchInit {
  /** Need not exist, now or later. */
  readonly directory: string
  readonly clock: Clock
  /** Files outside of the plugins themselves that count too. */
  parts(): readonly string[]
  /** What lies there has changed, and is at rest. One call at a time. */
  onChange(view: FolderView): Promise<void>
  /** It could not be watched, or looked at: it is looked at now and then instead. */
  onTrouble(message: string): void
}

export interface FolderWatch {
  /** Resolves when the folder is watched, or cannot be. */
  readonly ready: Promise<void>
  /** There may be something new, or other parts. */
  look(): void
  close(): Promise<void>
}

/** What is written is at rest when two looks, so far apart, find the same. */
const settleMs = 150
/** What never comes to rest is told all the same: one file that is written on and on must not hold up the others. */
const restlessMsMax = 3000
/** Between looks at a folder that cannot be watched. */
const troubleMs = 5000

export function watchPluginFolder(init: WatchInit): FolderWatch {
  const { clock } = init
  const directory = resolve(init.directory)
  let toldText = ''
  /** What the last look found, and since when one look finds other things than the one before. */
  let seenText: string | undefined
  let restlessSinceMs: number | undefined
  let cancel: Cancel | undefined
  let looking: Promise<void> | undefined
  let isStale = false
  let isClosed = false
  let isTroubled = false

  const look = async (): Promise<void> => {
    await watchers.follow(init.parts())
    const view = await viewOf(directory, init.parts())
    if (isClosed) return
    const text = textOf(view)
    const isAtRest = text === seenText
    seenText = text
    restlessSinceMs ??= clock.now()
    if (!isAtRest && clock.now() - restlessSinceMs < restlessMsMax) {
      isStale = true
      return
    }
    restlessSinceMs = undefined
    if (text === toldText) return
    await init.onChange(view)
    // Not before: what somebody failed at is told again.
    toldText = text
  }

  const schedule = (): void => {
    if (isClosed) return
    if (looking !== undefined) {
      isStale = true
      return
    }
    // Not anew with each event: one file that is written on and on would hold up all.
    cancel ??= clock.after(settleMs, () => {
      cancel = undefined
      looking = look()
        .catch((error: unknown) => trouble(error))
        .finally(() => {
          looking = undefined
          if (!isStale) return
          isStale = false
          schedule()
        })
    })
  }

  const trouble = (error: unknown): void => {
    if (isClosed) return
    const why = error instanceof Error ? error.message : String(error)
    if (!isTroubled) init.onTrouble(`${directory}: ${why}; it is looked at every ${troubleMs / 1000} s`)
    if (isTroubled) return
    isTroubled = true
    const again = (): void => {
      clock.after(troubleMs, () => {
        if (isClosed) return
        schedule()
        again()
      })
    }
    again()
  }

  const watchers = createWatchers({
    directory,
    onEvent: schedule,
    onTrouble: trouble,
  })
  // What has changed since the folder was listed is found by the first look.
  const ready = watchers.follow([]).then(schedule, trouble)

  return {
    ready,
    look: schedule,
    async close() {
      isClosed = true
      cancel?.()
      await ready
      await looking
      await watchers.close()
    },
  }
}

interface Watchers {
  /** Watches what is there now. Resolves when it is watched. */
  follow(parts: readonly string[]): Promise<void>
  close(): Promise<void>
}

/**
 * One for the folder, again whenever it is another one; one for the nearest folder around it that exists, to see it appear;
 * one for parts that lie elsewhere.
 */
function createWatchers(init: {
  readonly directory: string
  onEvent(): void
  onTrouble(error: unknown): void
}): Watchers {
  const { directory, onEvent, onTrouble } = init
  const watched = new Map<
    'folder' | 'around' | 'parts',
    { readonly key: string; readonly watcher: FSWatcher }
  >()

  const use = async (
    place: 'folder' | 'around' | 'parts',
    key: string,
    paths: readonly string[],
  ): Promise<void> => {
    const known = watched.get(place)
    if (known?.key === key) return
    watched.delete(place)
    await known?.watcher.close()
    if (paths.length === 0) return
    const watcher = watch([...paths], {
      ignoreInitial: true,
      depth: 0,
      ignorePermissionErrors: true,
    })
    watched.set(place, { key, watcher })
    watcher.on('all', onEvent)
    await new Promise<void>(resolve => {
      watcher.once('ready', resolve)
      watcher.on('error', error => {
        onTrouble(error)
        resolve()
      })
    })
    // What happened while it began to watch.
    onEvent()
  }

  return {
    async follow(parts) {
      const identity = await identityOf(directory)
      await use('folder', identity ?? '', identity === null ? [] : [directory])
      let around = dirname(directory)
      while ((await identityOf(around)) === null && around !== dirname(around)) around = dirname(around)
      await use('around', around, [around])
      const elsewhere = parts.filter(part => dirname(part) !== directory).sort()
      await use('parts', elsewhere.join('\n'), elsewhere)
    },
    async close() {
      await Promise.all([...watched.values()].map(({ watcher }) => watcher.close()))
      watched.clear()
    },
  }
}

/** Null when there is no such directory. */
async function identityOf(directory: string): Promise<string | null> {
  try {
    const { dev, ino } = await stat(directory)
    return `${dev}:${ino}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}

async function viewOf(directory: string, parts: readonly string[]): Promise<FolderView> {
  const files = await listPluginFiles(directory)
  const hashes = new Map<string, string>()
  for (const part of parts) {
    try {
      hashes.set(part, hashBytes(await readFile(part)))
    } catch (error) {
      // It is not what it was, and whoever loads it will say why.
      hashes.set(part, `${(error as NodeJS.ErrnoException).code}`)
    }
  }
  const helpersHash = hashBytes(Buffer.from(JSON.stringify(files.helpers)))
  return { ...files, helpersHash, hashes }
}

const textOf = ({ files, failed, ignored, helpersHash, hashes }: FolderView): string =>
  JSON.stringify([files, failed, ignored, helpersHash, [...hashes]])
