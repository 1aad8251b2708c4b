// Reads a backup and believes nothing: every frame by its checksum, every entry by the hash chain of its partition, the whole
// by what its end says.
import { createHash } from 'node:crypto'
import { type ErrorBody, fromErrorBody, GlynError } from '../../core/errors.ts'
import { toStoredEvents } from '../../core/record.ts'
import { isSystemType } from '../../core/system-types.ts'
import { formatToken, parseToken } from '../../core/token.ts'
import { decodeEntries } from '../../pubsub/topic-message.ts'
import { type Entry, genesisHash } from '../../raft/entry.ts'
import { toEventEnvelope } from '../../store/event-envelope.ts'
import { hashEntry } from '../../store/hash-entry.ts'
import { decodeRecord } from '../../store/record-codec.ts'
import { type BackupEnd, type BackupHeader, type BackupPart, backupVersion } from './backup-contents.ts'
import { backupMagic, type Cut, type Frame, readFrames } from './backup-frames.ts'
import { createContentHash } from './content-hash.ts'

interface Place {
  readonly index: number
  readonly hash: Uint8Array
}

/** `onBytes` is handed all bytes in order, as far as they are good: to write them on. */
export interface ReadBackupOptions {
  readonly onBytes?: (bytes: Buffer) => Promise<void>
}

/**
 * Yields the header, the entries of each partition in turn, the end. Throws FILE_DAMAGED that names the byte, and the partition
 * and index where they are known, also as details; and what the node said that failed to send it.
 */
export async function* readBackup(
  source: AsyncIterable<Uint8Array>,
  name: string,
  { onBytes = async () => {} }: ReadBackupOptions = {},
): AsyncGenerator<BackupPart, void, undefined> {
  const sha256 = createHash('sha256').update(backupMagic)
  const places = new Map<number, Place>()
  const content = createContentHash()
  const counts = { entries: 0, events: 0, commands: 0 }
  let header: BackupHeader | null = null
  let heads: ReadonlyMap<number, number> = new Map()
  let current = 1
  let isEnded = false
  let readBytes = backupMagic.length

  const damaged = (
    offset: number,
    why: string,
    at: { partition?: number; index?: number } = {},
  ): GlynError => {
    const where = at.partition === undefined ? '' : `, partition ${at.partition}, index ${at.index}`
    return new GlynError('FILE_DAMAGED', `${name}, byte ${offset}${where}: ${why}`, {
      details: { file: name, offset, ...at },
    })
  }
  const placeOf = (partition: number): Place => places.get(partition) ?? { index: 0, hash: genesisHash }
  /** Where the next entry is, as far as that can be told. */
  const next = (): { partition?: number; index?: number } => {
    if (header === null) return {}
    while (current < header.cluster.partitions && placeOf(current).index >= (heads.get(current) ?? 0))
      current += 1
    return { partition: current, index: placeOf(current).index + 1 }
  }

  function parse<T>(frame: Frame): T {
    try {
      return JSON.parse(frame.body.toString('utf8')) as T
    } catch (cause) {
      throw damaged(frame.offset, `it is not readable: ${(cause as Error).message}`)
    }
  }

  /** The first entry of a frame that does not follow. A frame whose checksum is wrong may be unreadable. */
  function findFault(frame: Frame): { partition?: number; index?: number } {
    try {
      const { partition, entries } = decodeEntries(frame.body)
      if (partition !== next().partition) return next()
      let { index, hash } = placeOf(partition)
      for (const entry of entries) {
        if (entry.index !== index + 1 || !isSame(hashEntry(hash, entry), entry.hash))
          return { partition, index: index + 1 }
        index = entry.index
        hash = entry.hash
      }
      return { partition, index }
    } catch {
      // Bytes that are no entries any more: they begin where the last good one ended.
      return next()
    }
  }

  function takeEntries(frame: Frame): BackupPart {
    const expected = next()
    let group: ReturnType<typeof decodeEntries>
    try {
      group = decodeEntries(frame.body)
    } catch (cause) {
      throw damaged(frame.offset, (cause as Error).message, expected)
    }
    const { partition, entries } = group
    if (partition !== expected.partition)
      throw damaged(frame.offset, `partition ${partition} stands in its place`, expected)
    for (const entry of entries) {
      const { index, hash } = placeOf(partition)
      const at = { partition, index: index + 1 }
      if (entry.index !== index + 1)
        throw damaged(frame.offset, `index ${entry.index} stands in its place`, at)
      if (!isSame(hashEntry(hash, entry), entry.hash))
        throw damaged(frame.offset, 'its content, or the entry before it, does not fit its hash', at)
      places.set(partition, { index: entry.index, hash: entry.hash })
      counts.entries += 1
      addContent(partition, entry)
    }
    return { type: 'entries', partition, entries }
  }

  function addContent(partition: number, { kind, index, payload }: Entry): void {
    if (kind !== 'command') return
    const record = decodeRecord(payload)
    if (isSystemType(record.aggregate.type)) return
    counts.commands += 1
    for (const row of toStoredEvents(record, { partition, index })) {
      content.add(toEventEnvelope(row))
      counts.events += 1
    }
  }

  function takeHeader(frame: Frame): BackupPart {
    const found = parse<BackupHeader>(frame)
    if (found.version !== backupVersion) {
      const text = `${name} is a backup of version ${String(found.version)}; this glyn-node reads ${backupVersion}`
      throw new GlynError('STORE_FORMAT', text)
    }
    header = found
    heads = parseToken(found.token)
    return { type: 'header', header: found }
  }

  function takeEnd(frame: Frame, known: BackupHeader): BackupPart {
    const end = parse<BackupEnd>(frame)
    for (const { partition, index, hash } of end.partitions) {
      const place = placeOf(partition)
      const at = { partition, index: place.index + 1 }
      if (place.index !== index || (index > 0 && Buffer.from(place.hash).toString('hex') !== hash))
        throw damaged(frame.offset, `the partition ends there, and should end at ${index}`, at)
    }
    const token = formatToken(new Map(end.partitions.map(({ partition, index }) => [partition, index])))
    if (token !== known.token)
      throw damaged(frame.offset, `it ends at ${token}, and should end at ${known.token}`)
    if (end.sha256 !== sha256.digest('hex'))
      throw damaged(frame.offset, 'the hash of the whole file is another')
    isEnded = true
    const bytes = frame.offset + frame.bytes.length
    return { type: 'end', summary: { ...known, bytes, ...counts, hash: content.text() } }
  }

  function take(frame: Frame): BackupPart {
    if (isEnded) throw damaged(frame.offset, 'it follows the end of the backup')
    if (!frame.isGood)
      throw damaged(frame.offset, 'its checksum is another', header === null ? {} : findFault(frame))
    if (frame.kind === 'error') throw fromErrorBody(parse<ErrorBody>(frame))
    if (header === null && frame.kind === 'header') return takeHeader(frame)
    if (header !== null && frame.kind === 'entries') return takeEntries(frame)
    if (header !== null && frame.kind === 'end') return takeEnd(frame, header)
    throw damaged(frame.offset, 'it is no frame that belongs there', next())
  }

  const frames = readFrames(source)
  for (let step = await frames.next(); ; step = await frames.next()) {
    if (step.done === true) {
      if (step.value !== null) throw damaged(step.value.offset, reasons[step.value.type], next())
      if (!isEnded) throw damaged(readBytes, 'the backup is cut off: its end is missing', next())
      return
    }
    const frame = step.value
    const part = take(frame)
    if (part.type !== 'end') sha256.update(frame.bytes)
    readBytes += frame.bytes.length
    await onBytes(part.type === 'header' ? Buffer.concat([backupMagic, frame.bytes]) : frame.bytes)
    yield part
  }
}

const reasons: Readonly<Record<Cut['type'], string>> = {
  magic: 'it does not begin as a backup of glyn-node',
  cut: 'the backup is cut off there',
  length: 'it is no frame: its length is damaged',
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
