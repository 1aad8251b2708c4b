// The keys of a node on its disk, written by a thread of their own. Files and thread come with the first key.
import { extname, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { GlynError } from '../../core/errors.ts'
import { createKeyFingerprints, firstOf } from '../key-fingerprints.ts'
import type { KeyStore, SubjectKey } from '../key-store.ts'
import { hasKeyFiles } from './key-files.ts'
import { fromErrorMessage } from './sqlite-errors.ts'
import { openSqliteKeyReader, type SqliteKeyReader } from './sqlite-key-reader.ts'
import type { FromKeyThread, ToKeyThread } from './sqlite-key-thread.ts'
import type { KeyChanges } from './sqlite-key-writer.ts'

export interface SqliteKeyStoreInit {
  /** Exists, and is locked by the caller. */
  readonly directory: string
  /** The files were just made. Waited for before anything is written to them. */
  readonly onCreate?: () => Promise<void>
}

/** Throws STORE_FORMAT, STORE_CORRUPT, STORE_READ_ONLY, EVENT_STORE_ERROR. */
export async function openSqliteKeyStore(init: SqliteKeyStoreInit): Promise<KeyStore> {
  const directory = resolve(init.directory)
  const fingerprints = createKeyFingerprints()
  let opening: Promise<KeyThread> | undefined
  let reader: SqliteKeyReader | undefined
  let closing: Promise<void> | undefined
  let items = 0

  const note = ({ added, destroyed, forgotten }: KeyChanges): void => {
    for (const { id, isDestroyed } of added) fingerprints.toggle(id, isDestroyed ? 'destroyed' : 'live')
    for (const { id } of destroyed) {
      fingerprints.toggle(id, 'live')
      fingerprints.toggle(id, 'destroyed')
    }
    for (const subject of forgotten) fingerprints.toggle(subject, 'forgotten')
    items += added.length + forgotten.length
  }

  async function open(isNew: boolean): Promise<KeyThread> {
    const started = await startKeyThread(directory, note)
    try {
      if (isNew) await init.onCreate?.()
      const opened = openSqliteKeyReader(directory)
      opened.each((item, state) => {
        fingerprints.toggle(item, state)
        items += 1
      })
      reader = opened
      return started
    } catch (error) {
      await started.close()
      throw error
    }
  }

  function thread(): Promise<KeyThread> {
    if (closing !== undefined) {
      return Promise.reject(new GlynError('SHUTTING_DOWN', `keys ${directory}: they are closed`))
    }
    // One that did not open is tried again with the next key.
    opening ??= open(!hasKeyFiles(directory)).catch((error: unknown) => {
      opening = undefined
      throw error
    })
    return opening
  }

  async function close(): Promise<void> {
    const started = await opening?.catch(() => undefined)
    reader?.close()
    reader = undefined
    await started?.close()
  }

  if (hasKeyFiles(directory)) await thread()

  return {
    isEmpty: () => items === 0,
    find: id => reader?.find(id),
    keysFor: (subject, { type, id }) =>
      (reader?.keysOf(subject) ?? []).filter(
        ({ key, aggregate }) => key !== null && aggregate.type === type && aggregate.id === id,
      ),
    keysOf: subject => reader?.keysOf(subject) ?? [],
    isForgotten: subject => reader?.isForgotten(subject) ?? false,
    async join(known) {
      if (known.keys.length === 0 && known.forgotten.length === 0) return []
      return (await (await thread()).send({ type: 'join', known })).destroyed
    },
    fingerprints: () => fingerprints.all(),
    bucket(bucket, { after, limit }) {
      const first = firstOf(bucket)
      return reader?.between(after === '' ? first : after, `${first}~`, limit) ?? { keys: [], forgotten: [] }
    },
    untold: () => reader?.untold() ?? [],
    async markTold(ids) {
      if (ids.length > 0) await (await thread()).send({ type: 'told', ids })
    },
    close() {
      closing ??= close()
      return closing
    },
  }
}

interface KeyThread {
  send(
    message:
      | { readonly type: 'join'; readonly known: Parameters<KeyStore['join']>[0] }
      | { readonly type: 'told'; readonly ids: readonly string[] },
  ): Promise<{ readonly destroyed: readonly SubjectKey[] }>
  close(): Promise<void>
}

/** `note` hears of every change, before whoever asked for it does. */
async function startKeyThread(directory: string, note: (changes: KeyChanges) => void): Promise<KeyThread> {
  const worker = new Worker(new URL(`./sqlite-key-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: { directory },
    execArgv: [],
    name: 'glyn-keys',
  })
  /** In the order of their ids. */
  const waiting = new Map<number, { resolve(changes: KeyChanges): void; reject(error: Error): void }>()
  let lastId = 0
  let failure: Error | undefined
  const opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()

  function settle(
    through: number,
    how: (waiter: { resolve(c: KeyChanges): void; reject(e: Error): void }) => void,
  ) {
    for (const [id, waiter] of waiting) {
      if (id > through) break
      waiting.delete(id)
      how(waiter)
    }
  }

  function fail(error: Error): void {
    failure = error
    opened.reject(error)
    settle(lastId, waiter => waiter.reject(error))
    closed.resolve()
  }

  worker.on('message', (message: FromKeyThread) => {
    switch (message.type) {
      case 'open':
        opened.resolve()
        break
      case 'not-open':
        fail(fromErrorMessage(message.error))
        break
      case 'done':
        note(message.changes)
        settle(message.through, waiter => waiter.resolve(message.changes))
        break
      case 'failed': {
        const error = fromErrorMessage(message.error)
        settle(message.through, waiter => waiter.reject(error))
        break
      }
      case 'closed':
        fail(new GlynError('SHUTTING_DOWN', `keys ${directory}: they are closed`))
        break
    }
  })
  worker.on('error', error => fail(new GlynError('EVENT_STORE_ERROR', `keys ${directory}: ${error.message}`)))
  worker.on('exit', () =>
    fail(failure ?? new GlynError('EVENT_STORE_ERROR', `keys ${directory}: their thread ended`)),
  )
  await opened.promise

  return {
    send(message) {
      if (failure !== undefined) return Promise.reject(failure)
      lastId += 1
      const id = lastId
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject })
        worker.postMessage({ ...message, id } satisfies ToKeyThread)
      })
    },
    async close() {
      if (failure === undefined) worker.postMessage({ type: 'close' } satisfies ToKeyThread)
      await closed.promise
      await worker.terminate()
    },
  }
}
