// The bytes of a backup, made while the node runs: every partition up to where it is when the backup begins.
import { createHash } from 'node:crypto'
import type { ClusterSettings } from '../../cluster/cluster-state.ts'
import { toErrorBody } from '../../core/errors.ts'
import { formatToken } from '../../core/token.ts'
import { encodeEntries } from '../../pubsub/topic-message.ts'
import type { LogCopy } from '../log-copy.ts'
import { packageVersion } from '../version.ts'
import type { BackupEnd, BackupHeader } from './backup-contents.ts'
import { backupVersion } from './backup-contents.ts'
import { backupMagic, encodeFrame, type FrameKind } from './backup-frames.ts'

/**
 * Yields the magic, the header, frames of entries, and the end. What fails before the first bytes is thrown; later it is
 * the last frame, and thrown then.
 */
export async function* writeBackup(init: {
  readonly copy: LogCopy
  readonly settings: ClusterSettings
  readonly timeMs: number
  readonly signal: AbortSignal
}): AsyncGenerator<Uint8Array, void, undefined> {
  const { copy, settings, signal } = init
  const partitions = Array.from({ length: settings.partitions }, (_, place) => place + 1)
  const found = await Promise.all(
    partitions.map(async partition => [partition, await copy.head(partition, signal)] as const),
  )
  const heads = new Map(found)
  const sha256 = createHash('sha256')
  const pass = (bytes: Buffer): Buffer => {
    sha256.update(bytes)
    return bytes
  }
  const json = (kind: FrameKind, value: object): Buffer =>
    encodeFrame(kind, Buffer.from(JSON.stringify(value)))
  const header: BackupHeader = {
    version: backupVersion,
    cluster: settings,
    token: formatToken(heads),
    takenAt: new Date(init.timeMs).toISOString(),
    nodeVersion: packageVersion,
  }
  yield pass(Buffer.concat([backupMagic, json('header', header)]))
  try {
    const ends: BackupEnd['partitions'][number][] = []
    for (const [partition, index] of heads) {
      let hash = ''
      for await (const entries of copy.entries(partition, index, signal)) {
        hash = Buffer.from(entries.at(-1)?.hash ?? []).toString('hex')
        yield pass(encodeFrame('entries', encodeEntries({ partition, entries })))
      }
      ends.push({ partition, index, hash })
    }
    const end: BackupEnd = { partitions: ends, sha256: sha256.digest('hex') }
    yield json('end', end)
  } catch (error) {
    yield json('error', toErrorBody(error))
    throw error
  }
}
