// What the DHT holds of a partition: who leads it and where, signed by that leader (placement-record.proto).
// A hint with a term: the truth is the partition's log.
import { PbfReader, PbfWriter } from 'pbf'
import { GlynError } from '../core/errors.ts'
import { type Mesh, meshNames, type RecordRules } from '../mesh/mesh.ts'

export interface PlacementRecord {
  readonly clusterId: string
  readonly partition: number
  readonly term: number
  /** Peer id of the signer. */
  readonly leader: string
  /** Multiaddrs of the leader, with `/p2p/<peer id>`. */
  readonly addresses: readonly string[]
  /** Peer ids of all replicas. */
  readonly replicas: readonly string[]
  /** Milliseconds since 1970 UTC on the leader: orders the records of one term, and tells their age. */
  readonly issuedAtMs: number
}

export const placementKey = (scope: string, partition: number): string =>
  meshNames.record(scope, String(partition))

export async function sealPlacementRecord(record: PlacementRecord, mesh: Mesh): Promise<Uint8Array> {
  const content = encodeContent(record)
  const writer = new PbfWriter()
  writer.writeBytesField(1, content)
  writer.writeBytesField(2, await mesh.sign(content))
  return writer.finish()
}

/** Checks form, key and signature. Throws INVALID_ARGUMENT that says which of them is wrong. */
export async function openPlacementRecord(
  key: string,
  value: Uint8Array,
  by: { readonly scope: string; readonly mesh: Mesh },
): Promise<PlacementRecord> {
  const { content, signature } = split(value)
  const record = decodeContent(content)
  const complain = (what: string): never => {
    throw new GlynError('INVALID_ARGUMENT', `record ${key}: ${what}`)
  }
  if (key !== placementKey(by.scope, record.partition)) complain(`it speaks of partition ${record.partition}`)
  if (record.leader === '' || record.term < 1) complain('it names no leader or no term')
  if (!(await by.mesh.verify(record.leader, content, signature)))
    complain(`it is not signed by ${record.leader}`)
  return record
}

/** True when `a` is to be preferred to `b`. */
export const isNewer = (
  a: Pick<PlacementRecord, 'term' | 'issuedAtMs'>,
  b: Pick<PlacementRecord, 'term' | 'issuedAtMs'>,
): boolean => a.term > b.term || (a.term === b.term && a.issuedAtMs > b.issuedAtMs)

/** The rules under which this node stores records: signed, and never older than the one it holds. */
export function placementRecordRules(init: {
  readonly scope: string
  readonly mesh: Mesh
  readonly partitionsMax: number
  /** False for a leader that cannot be one: a signature proves who wrote a record, not that it may. */
  readonly mayLead?: (record: PlacementRecord) => boolean
}): RecordRules {
  const held = new Map<string, Pick<PlacementRecord, 'term' | 'issuedAtMs'>>()
  return {
    prefix: meshNames.record(init.scope, ''),
    async validate(key, value) {
      const record = await openPlacementRecord(key, value, init)
      if (record.partition > init.partitionsMax) {
        throw new GlynError(
          'INVALID_ARGUMENT',
          `record ${key}: there are at most ${init.partitionsMax} partitions`,
        )
      }
      if (init.mayLead?.(record) === false) {
        const whose = `${record.leader} of cluster ${record.clusterId}`
        throw new GlynError('INVALID_ARGUMENT', `record ${key}: ${whose} is no member of this cluster`)
      }
      const known = held.get(key)
      if (known !== undefined && isNewer(known, record)) {
        throw new GlynError(
          'INVALID_ARGUMENT',
          `record ${key}: term ${record.term} is older than the one held, ${known.term}`,
        )
      }
      held.set(key, { term: record.term, issuedAtMs: record.issuedAtMs })
    },
    select(_key, values) {
      const records = values.map(value => decodeContent(split(value).content))
      let best = 0
      records.forEach((record, place) => {
        const champion = records[best]
        if (champion !== undefined && isNewer(record, champion)) best = place
      })
      return best
    },
  }
}

function split(value: Uint8Array): { readonly content: Uint8Array; readonly signature: Uint8Array } {
  return new PbfReader(value).readFields(
    (tag, result: { content: Uint8Array; signature: Uint8Array }, reader) => {
      if (tag === 1) result.content = reader.readBytes()
      else if (tag === 2) result.signature = reader.readBytes()
    },
    { content: new Uint8Array(), signature: new Uint8Array() },
  )
}

function encodeContent(record: PlacementRecord): Uint8Array {
  const writer = new PbfWriter()
  writer.writeStringField(1, record.clusterId)
  writer.writeVarintField(2, record.partition)
  writer.writeVarintField(3, record.term)
  writer.writeStringField(4, record.leader)
  for (const address of record.addresses) writer.writeStringField(5, address)
  for (const replica of record.replicas) writer.writeStringField(6, replica)
  writer.writeVarintField(7, record.issuedAtMs)
  return writer.finish()
}

function decodeContent(content: Uint8Array): PlacementRecord {
  const record = {
    clusterId: '',
    partition: 0,
    term: 0,
    leader: '',
    addresses: [] as string[],
    replicas: [] as string[],
    issuedAtMs: 0,
  }
  return new PbfReader(content).readFields((tag, result: typeof record, reader) => {
    if (tag === 1) result.clusterId = reader.readString()
    else if (tag === 2) result.partition = reader.readVarint()
    else if (tag === 3) result.term = reader.readVarint()
    else if (tag === 4) result.leader = reader.readString()
    else if (tag === 5) result.addresses.push(reader.readString())
    else if (tag === 6) result.replicas.push(reader.readString())
    else if (tag === 7) result.issuedAtMs = reader.readVarint()
  }, record)
}
