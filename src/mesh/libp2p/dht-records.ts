// Records on the DHT. It counts nobody, forgets to answer when it is alone, and lets old values win: all cured here.
import type { KadDHTInit } from '@libp2p/kad-dht'
import { GlynError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { RecordRulesTable } from '../record-rules-table.ts'
import { checkRecordSize } from '../size-checks.ts'
import type { Libp2pNode } from './libp2p-node.ts'

/** Keys whose best value we remember. Past it the oldest are forgotten; the rules still hold. */
const rememberedMax = 8192

export interface DhtRecords {
  readonly validators: NonNullable<KadDHTInit['validators']>
  readonly selectors: NonNullable<KadDHTInit['selectors']>
  put(
    dht: Libp2pNode['services']['dht'],
    key: string,
    value: Uint8Array,
    signal: AbortSignal,
  ): Promise<number>
  get(dht: Libp2pNode['services']['dht'], key: string, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** The first part of every key of ours. kad-dht looks validators up by it. */
const namespace = 'glyn'

export function createDhtRecords(rules: RecordRulesTable, log: Log): DhtRecords {
  /** Invariant: a value is only replaced by one that the rules prefer. */
  const best = new Map<string, Uint8Array>()

  /** A PUT_VALUE meets the validator only, never the selector: an old value must fail here. */
  const admit = async (key: string, value: Uint8Array): Promise<void> => {
    const rule = rules.of(key)
    checkRecordSize(key, value)
    await rule.validate(key, value)
    const known = best.get(key)
    if (known !== undefined && !sameBytes(known, value) && rule.select(key, [known, value]) === 0) {
      throw new GlynError('INVALID_ARGUMENT', `record ${JSON.stringify(key)}: a better one is known`)
    }
    best.delete(key)
    best.set(key, value)
    if (best.size > rememberedMax) {
      const [oldest] = best.keys()
      if (oldest !== undefined) best.delete(oldest)
    }
  }

  return {
    validators: { [namespace]: (key, value) => admit(textOf(key), value) },
    selectors: { [namespace]: (key, values) => rules.of(textOf(key)).select(textOf(key), values) },

    put: async (dht, key, value, signal) => {
      await admit(key, value)
      const stored = new Set<string>()
      try {
        for await (const event of dht.put(Buffer.from(key), value, { signal })) {
          if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE')
            stored.add(event.from.toString())
        }
      } catch (error) {
        // Nobody is there, or time is up: what was stored so far is the answer.
        log.debug({ key, stored: stored.size, err: error }, 'mesh: putting a record ended early')
      }
      return stored.size
    },

    get: async (dht, key, signal) => {
      const rule = rules.of(key)
      const candidates: Uint8Array[] = []
      const own = best.get(key)
      if (own !== undefined) candidates.push(own)
      try {
        for await (const event of dht.get(Buffer.from(key), { signal })) {
          const value =
            event.name === 'VALUE'
              ? event.value
              : event.name === 'PEER_RESPONSE'
                ? event.record?.value
                : undefined
          if (value !== undefined && !candidates.some(known => sameBytes(known, value)))
            candidates.push(value)
        }
      } catch (error) {
        // Time is up, or a peer with an older value refused the newer one: the values that came are good all the same.
        log.debug({ key, found: candidates.length, err: error }, 'mesh: getting a record ended early')
      }
      return candidates.length === 0 ? undefined : candidates[rule.select(key, candidates)]
    },
  }
}

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('utf8')
const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
