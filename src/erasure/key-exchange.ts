// Every member has every key, and knows of every subject that is forgotten. New keys are put to the others at once; what one
// missed, it gets when they compare.
import { LRUCache } from 'lru-cache'
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Rpc } from '../mesh/rpc.ts'
import { bucketOf } from '../store/key-fingerprints.ts'
import { type KeyStore, type KnownKeys, keyBuckets, type SubjectKey } from '../store/key-store.ts'
import { decodeJson, encodeJson, formatKnownKeys, parseKnownKeys } from './known-keys-codec.ts'

const putMethod = 'keys.put'
const getMethod = 'keys.get'
const compareMethod = 'keys.compare'
const bucketMethod = 'keys.bucket'

const requestTimeoutMs = 5000
/** Members that agree compare again after this long: 64 numbers each time. */
const compareAgainMs = 10_000
const roundMs = 200
/** Keys in one message: some 100 KiB. */
const pageMax = 500
/** Keys that wait to be put to one member. */
const queueMax = 50_000
/** Keys of which this node remembers who has them. */
const confirmedMax = 100_000
/** A node that comes back waits so long for members that it cannot ask what was forgotten meanwhile. */
const firstCompareMsMax = 30_000

export interface KeyExchangeInit {
  readonly self: string
  readonly store: KeyStore
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  /** Peer ids of all members, this one included. */
  readonly members: () => readonly string[]
  readonly isConnected: (peerId: string) => boolean
  /** Of a partition: peer ids. */
  readonly votersOf: (partition: number) => readonly string[]
  /** Subjects exist as far as the code of this node knows. */
  readonly hasSubjects: boolean
  /** They were here until now. Called before anyone is told that they are destroyed. */
  readonly onDestroyed: (keys: readonly SubjectKey[]) => void
}

export interface KeyExchange {
  /** Takes in what is known elsewhere. Durable when it resolves, and nothing in memory knows what is destroyed. */
  join(known: KnownKeys): Promise<void>
  /** A majority of the partition's voters said that the key is on their disk. */
  isDurable(key: string, partition: number): boolean
  /** Resolves when {@link isDurable}, or when the key is destroyed. Throws UNAVAILABLE after some seconds. */
  makeDurable(key: SubjectKey, partition: number): Promise<void>
  /** Asks the members that can be reached. True when it is here now. */
  fetch(key: string): Promise<boolean>
  /** This node has asked the others, since it runs, what was forgotten meanwhile. */
  isReady(): boolean
  /** Resolves when it is, after some seconds at most. */
  whenReady(): Promise<void>
  /**
   * A comparison that began then or later ended with both having the same, and nothing has failed since. When there is none,
   * one begins soon.
   */
  hasAgreedSince(peerId: string, since: number): boolean
  start(): void
  stop(): void
}

interface Peer {
  agreedAt: number | undefined
  comparedAt: number
  /** Somebody waits for a comparison that begins then or later. */
  wantedSince: number
  isComparing: boolean
  readonly queue: { readonly key: SubjectKey; resolve(): void; reject(error: unknown): void }[]
  isPutting: boolean
}

export function createKeyExchange(init: KeyExchangeInit): KeyExchange {
  const { self, store, rpc, clock, log, members, isConnected } = init
  const peers = new Map<string, Peer>()
  const confirmed = new LRUCache<string, Set<string>>({ max: confirmedMax })
  let cancel: Cancel = () => {}
  let isStopped = false
  let hasCompared = false
  let startedAt = 0
  const waiting: (() => void)[] = []

  const others = (): readonly string[] => members().filter(peerId => peerId !== self)
  const isUsed = (): boolean => init.hasSubjects || !store.isEmpty()
  const isReady = (): boolean => hasCompared || !isUsed()

  function peerOf(peerId: string): Peer {
    const known = peers.get(peerId)
    if (known !== undefined) return known
    const peer: Peer = {
      agreedAt: undefined,
      comparedAt: Number.NEGATIVE_INFINITY,
      wantedSince: Number.NEGATIVE_INFINITY,
      isComparing: false,
      queue: [],
      isPutting: false,
    }
    peers.set(peerId, peer)
    return peer
  }

  async function ask<T>(peerId: string, method: string, body: unknown): Promise<T> {
    return decodeJson<T>(await rpc.request(peerId, method, encodeJson(body), { timeoutMs: requestTimeoutMs }))
  }

  async function join(known: KnownKeys): Promise<void> {
    const destroyed = await store.join(known)
    if (destroyed.length > 0) init.onDestroyed(destroyed)
  }

  function confirm(key: string, peerId: string): void {
    const known = confirmed.get(key)
    if (known === undefined) confirmed.set(key, new Set([peerId]))
    else known.add(peerId)
  }

  /** Resolves when that member has it on its disk, or says that its subject is forgotten; then it is here, too. */
  function put(peerId: string, key: SubjectKey): Promise<void> {
    const peer = peerOf(peerId)
    if (peer.queue.length >= queueMax) {
      return Promise.reject(new GlynError('OVERLOADED', `${queueMax} keys wait for ${peerId}`))
    }
    return new Promise((resolve, reject) => {
      peer.queue.push({ key, resolve, reject })
      if (!peer.isPutting) clock.soon(() => void putOn(peerId, peer))
    })
  }

  async function putOn(peerId: string, peer: Peer): Promise<void> {
    if (peer.isPutting) return
    peer.isPutting = true
    while (peer.queue.length > 0) {
      const page = peer.queue.splice(0, pageMax)
      try {
        await putPage(
          peerId,
          page.map(({ key }) => key),
        )
        for (const { key, resolve } of page) {
          confirm(key.id, peerId)
          resolve()
        }
      } catch (error) {
        peer.agreedAt = undefined
        for (const { reject } of page) reject(error)
      }
    }
    peer.isPutting = false
  }

  async function putPage(peerId: string, keys: readonly SubjectKey[]): Promise<void> {
    // What was destroyed since it was queued leaves as destroyed.
    const known = { keys: keys.map(key => store.find(key.id) ?? key), forgotten: [] }
    const { forgotten } = await ask<{ readonly forgotten: readonly string[] }>(
      peerId,
      putMethod,
      formatKnownKeys(known),
    )
    if (forgotten.length > 0) await join(parseKnownKeys({ keys: [], forgotten }))
  }

  /** Both have the same afterwards. */
  async function compare(peerId: string): Promise<void> {
    const { fingerprints } = await ask<{ readonly fingerprints: readonly number[] }>(
      peerId,
      compareMethod,
      {},
    )
    for (let bucket = 0; bucket < keyBuckets; bucket += 1) {
      if (fingerprints[bucket] === store.fingerprints()[bucket]) continue
      const theirs = new Map<string, boolean>()
      for await (const page of pagesOf(after => askBucket(peerId, bucket, after))) {
        for (const { id, key } of page.keys) theirs.set(id, key === null)
        for (const subject of page.forgotten) theirs.set(subject, true)
        await join(page)
      }
      for await (const page of pagesOf(async after => store.bucket(bucket, { after, limit: pageMax }))) {
        const keys = page.keys.filter(({ id, key }) => theirs.get(id) !== (key === null))
        const forgotten = page.forgotten.filter(subject => !theirs.has(subject))
        if (keys.length + forgotten.length === 0) continue
        await ask(peerId, putMethod, formatKnownKeys({ keys, forgotten }))
      }
    }
  }

  const askBucket = async (peerId: string, bucket: number, after: string): Promise<KnownKeys> =>
    parseKnownKeys(await ask(peerId, bucketMethod, { bucket, after }))

  async function compareWith(peerId: string): Promise<void> {
    const peer = peerOf(peerId)
    peer.isComparing = true
    peer.comparedAt = clock.now()
    const { comparedAt } = peer
    try {
      await compare(peerId)
      peer.agreedAt = comparedAt
    } catch (error) {
      peer.agreedAt = undefined
      if (isStopped) return
      // A newcomer is a member here before it is one there.
      const isExpected = hasCode(error, ...passing)
      log[isExpected ? 'debug' : 'warn']({ peerId, error: String(error) }, 'keys: they could not be compared')
    } finally {
      peer.isComparing = false
    }
  }

  function round(): void {
    if (isUsed()) {
      for (const peerId of peers.keys()) {
        const peer = peers.get(peerId)
        // What it missed while it was away, nobody told it.
        if (peer !== undefined && !isConnected(peerId)) peer.agreedAt = undefined
        if (!members().includes(peerId) && peer?.isComparing === false && !peer.isPutting)
          peers.delete(peerId)
      }
      for (const peerId of others()) {
        const { isComparing, agreedAt, comparedAt, wantedSince } = peerOf(peerId)
        if (isComparing || !isConnected(peerId)) continue
        const isWanted = agreedAt === undefined || agreedAt < wantedSince
        if (clock.now() - comparedAt >= (isWanted ? roundMs : compareAgainMs)) void compareWith(peerId)
      }
    }
    maybeReady()
    cancel = clock.after(roundMs, round)
  }

  function maybeReady(): void {
    if (isReady()) {
      for (const tell of waiting.splice(0)) tell()
      return
    }
    const all = members()
    if (!all.includes(self)) return
    const agreed = others().filter(peerId => peers.get(peerId)?.agreedAt !== undefined)
    const missing = others().filter(peerId => isConnected(peerId) && !agreed.includes(peerId))
    const isMajority = 2 * (agreed.length + 1) > all.length
    const isLate = clock.now() - startedAt >= firstCompareMsMax
    if (!(isMajority && missing.length === 0) && !isLate) return
    hasCompared = true
    if (!isMajority) {
      log.warn(
        { asked: agreed.length, members: all.length },
        'keys: too few members could be asked what was forgotten while this node was away; it goes on with what it knows, and asks when they are there',
      )
    }
    for (const tell of waiting.splice(0)) tell()
  }

  const isDurable = (key: string, partition: number): boolean => {
    const voters = init.votersOf(partition)
    const have = voters.filter(peerId => peerId === self || confirmed.get(key)?.has(peerId) === true)
    return 2 * have.length > voters.length
  }

  async function makeDurable(key: SubjectKey, partition: number): Promise<void> {
    const deadline = clock.now() + requestTimeoutMs
    const isDone = (): boolean => isDurable(key.id, partition) || store.find(key.id)?.key === null
    const underWay = new Set<string>()
    while (!isDone()) {
      if (isStopped) throw new GlynError('SHUTTING_DOWN', 'this node is stopping')
      if (clock.now() >= deadline) throw notDurable(key, partition)
      const progress = Promise.withResolvers<void>()
      const timer = clock.after(roundMs, () => progress.resolve())
      for (const peerId of others()) {
        if (underWay.has(peerId) || confirmed.get(key.id)?.has(peerId) === true || !isConnected(peerId))
          continue
        underWay.add(peerId)
        put(peerId, key).then(
          () => {
            underWay.delete(peerId)
            progress.resolve()
          },
          () => void underWay.delete(peerId),
        )
      }
      await progress.promise
      timer()
    }
  }

  function notDurable({ aggregate }: SubjectKey, partition: number): GlynError {
    const voters = init.votersOf(partition)
    return new GlynError(
      'UNAVAILABLE',
      `the key of ${aggregate.type} ${aggregate.id} is not on a majority of the ${voters.length} voters of partition ${partition} yet`,
    )
  }

  async function fetch(key: string): Promise<boolean> {
    for (const peerId of others().filter(isConnected)) {
      try {
        const known = parseKnownKeys(await ask(peerId, getMethod, { key }))
        if (known.keys.length > 0) await join(known)
        if (store.find(key) !== undefined) return true
      } catch (error) {
        log.debug({ peerId, error: String(error) }, 'keys: one could not be fetched')
      }
    }
    return store.find(key) !== undefined
  }

  const serve = (method: string, handler: (body: never) => unknown): void =>
    rpc.serve(method, async (from, body) => {
      if (!members().includes(from)) {
        throw new GlynError('UNAUTHORIZED', `${method}: ${from} is no member of this cluster`)
      }
      return encodeJson(await handler(decodeJson<never>(body)))
    })

  serve(compareMethod, () => ({ fingerprints: store.fingerprints() }))
  serve(bucketMethod, ({ bucket, after }: { readonly bucket: number; readonly after: string }) =>
    formatKnownKeys(store.bucket(bucket, { after: String(after), limit: pageMax })),
  )
  serve(getMethod, ({ key }: { readonly key: string }) => {
    const found = store.find(String(key))
    return formatKnownKeys({ keys: found === undefined ? [] : [found], forgotten: [] })
  })
  serve(putMethod, async (body: unknown) => {
    const known = parseKnownKeys(body)
    await join(known)
    const subjects = new Set(known.keys.map(({ subject }) => subject))
    return { forgotten: [...subjects].filter(subject => store.isForgotten(subject)) }
  })

  return {
    join,
    isDurable,
    makeDurable,
    fetch,
    isReady,
    whenReady: () => (isReady() ? Promise.resolve() : new Promise(resolve => waiting.push(resolve))),
    hasAgreedSince(peerId, since) {
      if (!isConnected(peerId)) return false
      const peer = peerOf(peerId)
      if (peer.agreedAt !== undefined && peer.agreedAt >= since) return true
      peer.wantedSince = Math.max(peer.wantedSince, since)
      return false
    },
    start() {
      startedAt = clock.now()
      round()
    },
    stop() {
      isStopped = true
      cancel()
      for (const { queue } of peers.values()) {
        for (const { reject } of queue.splice(0)) {
          reject(new GlynError('SHUTTING_DOWN', 'this node is stopping'))
        }
      }
      for (const tell of waiting.splice(0)) tell()
    },
  }
}

const passing = ['TIMEOUT', 'PEER_UNREACHABLE', 'OUTCOME_UNKNOWN', 'UNAVAILABLE', 'UNAUTHORIZED'] as const

/** Both lists go on after the same item: what comes twice is known already. */
async function* pagesOf(read: (after: string) => Promise<KnownKeys>): AsyncGenerator<KnownKeys> {
  for (let after = ''; ; ) {
    const page = await read(after)
    yield page
    const ends = [
      page.keys.length < pageMax ? undefined : page.keys.at(-1)?.id,
      page.forgotten.length < pageMax ? undefined : page.forgotten.at(-1),
    ].filter(end => end !== undefined)
    const [next] = ends.sort()
    if (next === undefined || bucketOf(next) < 0) return
    after = next
  }
}
