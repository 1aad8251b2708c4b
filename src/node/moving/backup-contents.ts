// What the frames of a backup hold.
import type { ClusterSettings } from '../../cluster/cluster-state.ts'
import type { Entry } from '../../raft/entry.ts'

export const backupVersion = 1

export interface BackupHeader {
  readonly version: number
  /** Of the cluster it was taken from. */
  readonly cluster: ClusterSettings
  /** How far each partition is in it. */
  readonly token: string
  /** ISO 8601: when it was begun. */
  readonly takenAt: string
  readonly nodeVersion: string
}

export interface BackupEnd {
  /** `hash`: of the last entry, hex, which proves all before it; empty for a partition without entries. */
  readonly partitions: readonly {
    readonly partition: number
    readonly index: number
    readonly hash: string
  }[]
  /** SHA-256, hex, of all bytes before this frame. */
  readonly sha256: string
}

export interface BackupSummary extends BackupHeader {
  readonly bytes: number
  readonly entries: number
  /** Of users' aggregates. */
  readonly events: number
  readonly commands: number
  /** The content hash of those, as exports have it. */
  readonly hash: string
}

export type BackupPart =
  | { readonly type: 'header'; readonly header: BackupHeader }
  /** Proven, in order: all of partition 1, then of 2, … */
  | { readonly type: 'entries'; readonly partition: number; readonly entries: readonly Entry[] }
  | { readonly type: 'end'; readonly summary: BackupSummary }
