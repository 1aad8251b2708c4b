// Records of a memory network: every reachable node keeps a copy, each under its own rules.
import { GlynError } from '../../core/errors.ts'
import type { RecordRulesTable } from '../record-rules-table.ts'
import type { MemoryNode, NetworkView } from './network-view.ts'

export interface MemoryRecords {
  /** The number of other nodes that stored it. Throws what our own rules throw. */
  put(key: string, value: Uint8Array, signal: AbortSignal): Promise<number>
  get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined>
  store(key: string, value: Uint8Array): Promise<void>
  local(key: string): Uint8Array | undefined
}

interface MemoryRecordsInit {
  readonly network: NetworkView
  readonly peerId: string
  readonly rules: RecordRulesTable
  readonly self: () => MemoryNode
}

export function createMemoryRecords({ network, peerId, rules, self }: MemoryRecordsInit): MemoryRecords {
  const values = new Map<string, Uint8Array>()

  const store = async (key: string, value: Uint8Array): Promise<void> => {
    const rule = rules.of(key)
    await rule.validate(key, value)
    const known = values.get(key)
    if (known !== undefined && rule.select(key, [known, value]) === 0 && !sameBytes(known, value)) {
      throw new GlynError('INVALID_ARGUMENT', `record ${JSON.stringify(key)}: a better one is known`)
    }
    values.set(key, value)
  }

  /** Nodes that can be reached through connections of connections, as a walk through a DHT does. */
  const reachable = (): MemoryNode[] => {
    const found = new Set([self()])
    for (const node of found) {
      for (const peer of node.linkedPeers()) {
        const next = network.find(peer)
        if (next !== undefined && !network.isCut(peerId, peer)) found.add(next)
      }
    }
    found.delete(self())
    return [...found].filter(node => node.mode === 'node')
  }

  /** Asks every node; the answers that came before the signal, without those that were lost or refused. */
  const ask = <T>(bytes: number, signal: AbortSignal, question: (node: MemoryNode) => Promise<T>) =>
    Promise.all(
      reachable().map(
        node =>
          new Promise<T | undefined>(resolve => {
            const there = network.delayOf({ from: peerId, to: node.peerId, kind: 'record', bytes })
            const back = network.delayOf({ from: node.peerId, to: peerId, kind: 'record', bytes: 0 })
            signal.addEventListener('abort', () => resolve(undefined), { once: true })
            if (there === undefined || signal.aborted) return resolve(undefined)
            network.later(there, () => {
              if (network.find(node.peerId) !== node) return resolve(undefined)
              question(node).then(
                answer => network.later(back ?? 0, () => resolve(back === undefined ? undefined : answer)),
                // A refusal is an answer too: this node did not store it.
                () => resolve(undefined),
              )
            })
          }),
      ),
    )

  return {
    store,
    local: key => values.get(key),
    put: async (key, value, signal) => {
      await store(key, value)
      const answers = await ask(value.length, signal, node => node.storeRecord(key, value).then(() => true))
      return answers.filter(answer => answer === true).length
    },
    get: async (key, signal) => {
      const rule = rules.of(key)
      const answers = await ask(0, signal, async node => node.recordOf(key))
      const candidates: Uint8Array[] = []
      for (const value of [values.get(key), ...answers]) {
        if (value === undefined) continue
        if (candidates.some(known => sameBytes(known, value))) continue
        candidates.push(value)
      }
      return candidates.length === 0 ? undefined : candidates[rule.select(key, candidates)]
    },
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
