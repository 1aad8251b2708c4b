// Where `export` reads from: the node that the flags name, or its data directory when no node runs there.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { hasCode } from '../core/errors.ts'
import { controlSocketName } from '../http/control-socket.ts'
import { type EventSource, runningSource } from '../node/moving/event-source.ts'
import { openStoppedSource } from '../node/moving/stopped-source.ts'
import { type Io, writeLine } from './io.ts'
import { type StoreFlags, withSharedPlace } from './shared-place.ts'
import { openControlClient } from './target.ts'

export async function withEventSource(
  io: Io,
  flags: StoreFlags,
  call: (source: EventSource) => Promise<void>,
): Promise<void> {
  const isShared = await withSharedPlace(flags, async place => {
    const { sharedSource } = await import('../node/moving/shared-store.ts')
    await call(await sharedSource(place))
  })
  if (isShared) return
  const client = await openControlClient(io, flags)
  try {
    let source: EventSource
    try {
      source = await runningSource(client)
    } catch (error) {
      const directory = dirname(client.name)
      const isThere = client.name.endsWith(controlSocketName) && existsSync(join(directory, 'glyn.db'))
      if (!hasCode(error, 'NODE_NOT_RUNNING') || !isThere) throw error
      await callStopped(io, directory, call)
      return
    }
    await call(source)
  } finally {
    await client.close()
  }
}

async function callStopped(
  io: Io,
  directory: string,
  call: (source: EventSource) => Promise<void>,
): Promise<void> {
  const source = openStoppedSource(directory)
  try {
    await writeLine(io.stderr, `no node runs on ${directory}: reading its database`)
    await call(source)
  } finally {
    source.close()
  }
}
