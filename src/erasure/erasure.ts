// Everything a node needs to keep the data of subjects encrypted, and to forget them. Introduces the parts to each other.
import type { Clock } from '../core/clock.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import type { Log } from '../core/log.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { KeyStore } from '../store/key-store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import { createForgetting, type Forgetting } from './forgetting.ts'
import { createKeyExchange } from './key-exchange.ts'
import { createKeyGate, type KeyGate } from './key-gate.ts'
import { createSubjectKeys } from './subject-keys.ts'
import { createTombstones } from './tombstones.ts'

export interface ErasureInit {
  readonly self: string
  readonly scope: string
  readonly store: KeyStore
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  /** Those that are removed are none. */
  readonly members: () => readonly { readonly peerId: string; readonly name: string }[]
  readonly isConnected: (peerId: string) => boolean
  /** Peer ids. */
  readonly votersOf: (partition: number) => readonly string[]
  readonly partitionOf: (aggregate: AggregateKey) => number
  readonly leads: (partition: number) => boolean
  /** On this node, which leads the partition. */
  readonly execute: (partition: number, command: CommandEnvelope) => Promise<unknown>
  /** Keys of these aggregates are destroyed. */
  readonly onForgotten: (aggregates: readonly AggregateKey[]) => void
  /** An aggregate of this node has a `subject`. */
  readonly hasSubjects: boolean
}

export interface Erasure extends Forgetting {
  readonly cipher: SubjectCipher
  readonly gate: KeyGate
  /** Resolves when what was forgotten while this node was away is known, after some seconds at most. */
  whenReady(): Promise<void>
  roleChanged(partition: number, role: { readonly isLeader: boolean; readonly canServe: boolean }): void
  start(): void
  stop(): void
}

export function createErasure(init: ErasureInit): Erasure {
  const { self, scope, store, rpc, clock, members } = init
  const tombstones = createTombstones(init)
  const exchange = createKeyExchange({
    ...init,
    members: () => members().map(({ peerId }) => peerId),
    onDestroyed(keys) {
      init.onForgotten(keys.map(({ aggregate }) => aggregate))
      tombstones.wake()
    },
  })
  const isUsed = (): boolean => init.hasSubjects || !store.isEmpty()
  const gate = createKeyGate({ self, exchange, clock, isUsed })
  const forgetting = createForgetting({ self, scope, store, exchange, tombstones, rpc, clock, members })
  return {
    ...forgetting,
    cipher: createSubjectKeys({ scope, store, exchange, clock }),
    gate,
    whenReady: () => exchange.whenReady(),
    roleChanged(partition, { isLeader, canServe }) {
      gate.roleChanged(partition, isLeader)
      if (isLeader && canServe && !store.isEmpty()) tombstones.wake()
    },
    start() {
      exchange.start()
    },
    stop() {
      exchange.stop()
      tombstones.stop()
    },
  }
}
