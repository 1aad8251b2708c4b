// Where `export` reads from: the node that the flags name, or its data directory when no node runs there.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { hasCode } from '../core/errors.ts'
import { controlSocketName } from '../http/control-socket.ts'
import { type EventSource, runningSource } from '../node/moving/event-source.ts'
import { openStoppedSource } from '../node/moving/stopped-source.ts'
import { type Io, writeLine } from './io.ts'
import { openControlClient, type TargetFlags } from './target.ts'

export async function withEventSource<Result>(
  io: Io,
  flags: TargetFlags,
  call: (source: EventSource) => Promise<Result>,
): Promise<Result> {
  const client = await openControlClient(io, flags)
  try {
    let source: EventSource
    try {
      source = await runningSource(client)
    } catch (error) {
      const directory = dirname(client.name)
      const isThere = client.name.endsWith(controlSocketName) && existsSync(join(directory, 'glyn.db'))
      if (!hasCode(error, 'NODE_NOT_RUNNING') || !isThere) throw error
      return await callStopped(io, directory, call)
    }
    return await call(source)
  } finally {
    await client.close()
  }
}

async function callStopped<Result>(
  io: Io,
  directory: string,
  call: (source: EventSource) => Promise<Result>,
): Promise<Result> {
  const source = openStoppedSource(directory)
  try {
    await writeLine(io.stderr, `no node runs on ${directory}: reading its database`)
    return await call(source)
  } finally {
    source.close()
  }
}
