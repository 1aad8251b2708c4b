// An entry where entries travel: `Entry` of proto/store/record.proto, for use inside the messages of others.
import type { PbfReader, PbfWriter } from 'pbf'
import { GlynError } from '../core/errors.ts'
import type { Entry, EntryKind } from '../raft/entry.ts'

export const entryKinds: readonly EntryKind[] = ['noop', 'config', 'command']

/** 1, 2, 3: the numbers of `Kind` in record.proto, hashed and sent. They must never change. */
export const kindNumber = (kind: EntryKind): number => entryKinds.indexOf(kind) + 1

export function kindOfNumber(number: number): EntryKind {
  const kind = entryKinds[number - 1]
  if (kind === undefined) {
    throw new GlynError('INVALID_ARGUMENT', `entry: kind is ${number}; allowed: 1 noop, 2 config, 3 command`)
  }
  return kind
}

/** Use as `pbf.writeMessage(tag, writeEntry, entry)`. */
export function writeEntry(entry: Entry, pbf: PbfWriter): void {
  pbf.writeVarintField(1, entry.index)
  pbf.writeVarintField(2, entry.term)
  pbf.writeVarintField(3, kindNumber(entry.kind))
  if (entry.payload.length > 0) pbf.writeBytesField(4, entry.payload)
  pbf.writeBytesField(5, entry.hash)
}

/**
 * Use inside a field callback, where the message's length is next: `case 3: entries.push(readEntry(pbf))`. Payload and
 * hash are views of the reader's buffer. Throws INVALID_ARGUMENT for what is not an entry.
 */
export function readEntry(pbf: PbfReader): Entry {
  const draft = { index: 0, term: 0, kind: 0, payload: noBytes, hash: noBytes }
  const end = pbf.readVarint() + pbf.pos
  if (end <= pbf.length) pbf.readFields(readEntryField, draft, end)
  if (pbf.pos !== end || !(draft.index >= 1) || draft.hash.length !== 32) {
    throw new GlynError('INVALID_ARGUMENT', 'entry: it is cut off, or has no index or no hash of 32 bytes')
  }
  return { ...draft, kind: kindOfNumber(draft.kind) }
}

interface EntryDraft {
  index: number
  term: number
  kind: number
  payload: Uint8Array
  hash: Uint8Array
}

function readEntryField(tag: number, draft: EntryDraft, pbf: PbfReader): void {
  switch (tag) {
    case 1:
      draft.index = pbf.readVarint()
      break
    case 2:
      draft.term = pbf.readVarint()
      break
    case 3:
      draft.kind = pbf.readVarint()
      break
    case 4:
      draft.payload = pbf.readBytes()
      break
    case 5:
      draft.hash = pbf.readBytes()
  }
}

const noBytes = new Uint8Array(0)
