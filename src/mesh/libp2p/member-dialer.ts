// Keeps a connection to every member for as long as it is one. libp2p itself gives up after a few attempts.
import { multiaddr } from '@multiformats/multiaddr'
import type { Cancel, Clock, Random } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { withDeadline } from '../deadline.ts'
import type { PeerAddress } from '../mesh.ts'

export interface RedialInit {
  /** Wait after the first failure, doubled with each further one. 250 when left out. */
  readonly backoffMsMin?: number
  /** Longest wait in the first minute of an outage, so that a restart is seen soon. 2000 when left out. */
  readonly backoffMsMaxAtFirst?: number
  /** Longest wait later. 10,000 when left out. */
  readonly backoffMsMax?: number
  /** The larger peer id lets the smaller one dial first, for so long; for less when it starts. 1000 when left out. */
  readonly politenessMs?: number
  /** For one address until it is connected, when others wait to be tried; the last may take `greetTimeoutMs`. 3000. */
  readonly addressTimeoutMs?: number
  /** Until a connected peer has greeted us: then the connection is of no use. 10,000 when left out. */
  readonly greetTimeoutMs?: number
}

export interface MemberDialer {
  start(): void
  stop(): void
  setMembers(members: readonly PeerAddress[]): void
  isMember(peerId: string): boolean
  members(): readonly string[]
  /** To be told of every change. */
  onPeerChange(peerId: string, connected: boolean): void
}

export interface MemberDialerInit extends RedialInit {
  readonly peerId: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly isUp: (peerId: string) => boolean
  readonly isAllowed: (peerId: string) => boolean
  readonly hasConnection: (peerId: string) => boolean
  /** Connects to one address. */
  readonly dial: (address: string, signal: AbortSignal) => Promise<void>
  /** Waits until a connected peer has greeted us. */
  readonly greet: (peerId: string, signal: AbortSignal) => Promise<void>
  readonly hangUp: (peerId: string, reason: string) => void
}

interface Member {
  addresses: readonly string[]
  failures: number
  downSinceMs: number
  isDialling: boolean
  timer: Cancel | undefined
}

/** An outage is young for so long. */
const youngMs = 60_000
/**
 * A node that starts finds members that have waited for it for a while: their next attempt may be seconds away. Only those
 * that start at the same time would dial each other at once.
 */
const startingMs = 5000
const politenessWhileStartingMs = 100
/** Handshakes cost CPU: with more at once, all of them would be late. */
const diallingMax = 8

export function createMemberDialer(init: MemberDialerInit): MemberDialer {
  const { peerId: ownId, clock, random, log, isUp, isAllowed } = init
  const { backoffMsMin = 250, backoffMsMaxAtFirst = 2000, backoffMsMax = 10_000 } = init
  const { politenessMs = 1000, addressTimeoutMs = 3000, greetTimeoutMs = 10_000 } = init
  const members = new Map<string, Member>()
  let isRunning = false
  let startedAt = 0
  let dialling = 0

  const schedule = (peerId: string, member: Member, waitMs: number): void => {
    if (!isRunning || member.timer !== undefined || member.isDialling) return
    member.timer = clock.after(waitMs, () => {
      member.timer = undefined
      void attempt(peerId, member)
    })
  }
  const courtesyMs = (peerId: string): number => {
    if (ownId < peerId) return 0
    const isStarting = clock.now() - startedAt < startingMs
    return isStarting ? Math.min(politenessMs, politenessWhileStartingMs) : politenessMs
  }

  const backoffMs = (member: Member): number => {
    const isYoung = clock.now() - member.downSinceMs < youngMs
    const mostMs = isYoung ? backoffMsMaxAtFirst : backoffMsMax
    return Math.min(mostMs, backoffMsMin * 2 ** Math.min(member.failures - 1, 20)) * (0.5 + random() / 2)
  }

  const attempt = async (peerId: string, member: Member): Promise<void> => {
    const isWanted = (): boolean => isRunning && members.get(peerId) === member && !isUp(peerId)
    if (!isWanted()) return
    if (dialling >= diallingMax) {
      schedule(peerId, member, backoffMsMin * (0.5 + random()))
      return
    }
    dialling += 1
    member.isDialling = true
    try {
      await reach(peerId, member, isWanted)
    } catch (error) {
      if (isWanted()) {
        const fields = { peerId, addresses: member.addresses, failures: member.failures + 1, err: error }
        log.debug(fields, 'mesh: a member cannot be reached')
      }
    }
    dialling -= 1
    member.isDialling = false
    if (!isWanted()) return
    member.failures += 1
    schedule(peerId, member, backoffMs(member))
  }

  const reach = async (peerId: string, member: Member, isWanted: () => boolean): Promise<void> => {
    if (!isAllowed(peerId)) throw new Error('the gate is closed to it')
    let obstacle: unknown = new Error('it has no address')
    for (const [place, address] of member.addresses.entries()) {
      if (!isWanted() || init.hasConnection(peerId)) break
      const timeoutMs = place === member.addresses.length - 1 ? greetTimeoutMs : addressTimeoutMs
      try {
        await withDeadline(clock, timeoutMs, signal => init.dial(withPeerId(address, peerId), signal))
        break
      } catch (error) {
        obstacle = error
      }
    }
    if (!isWanted()) return
    if (!init.hasConnection(peerId)) throw obstacle
    await withDeadline(clock, greetTimeoutMs, async signal => {
      try {
        await init.greet(peerId, signal)
      } catch (error) {
        if (signal.aborted && isWanted()) init.hangUp(peerId, `it did not greet within ${greetTimeoutMs} ms`)
        throw error
      }
    })
  }

  const forget = (peerId: string, member: Member): void => {
    member.timer?.()
    members.delete(peerId)
  }

  return {
    start: () => {
      isRunning = true
      startedAt = clock.now()
      for (const [peerId, member] of members) schedule(peerId, member, courtesyMs(peerId))
    },
    stop: () => {
      isRunning = false
      for (const member of members.values()) member.timer?.()
    },
    setMembers: list => {
      const listed = new Map(list.map(({ peerId, addresses }) => [peerId, addresses]))
      listed.delete(ownId)
      for (const [peerId, member] of members) if (!listed.has(peerId)) forget(peerId, member)
      for (const [peerId, addresses] of listed) {
        const known = members.get(peerId)
        if (known !== undefined) {
          const isNew = addresses.some(address => !known.addresses.includes(address))
          known.addresses = addresses
          if (!isNew || isUp(peerId)) continue
          // What failed so far says nothing about the new address.
          known.failures = 0
          known.timer?.()
          known.timer = undefined
          schedule(peerId, known, 0)
          continue
        }
        const member = {
          addresses,
          failures: 0,
          downSinceMs: clock.now(),
          isDialling: false,
          timer: undefined,
        }
        members.set(peerId, member)
        if (!isUp(peerId)) schedule(peerId, member, courtesyMs(peerId))
      }
    },
    isMember: peerId => members.has(peerId),
    members: () => [...members.keys()],
    onPeerChange: (peerId, connected) => {
      const member = members.get(peerId)
      if (member === undefined) return
      member.timer?.()
      member.timer = undefined
      member.failures = 0
      if (connected) return
      member.downSinceMs = clock.now()
      schedule(peerId, member, backoffMsMin * random() + courtesyMs(peerId))
    },
  }
}

/** The address with `/p2p/<peer id>` at its end, so that nobody else can answer for the member. */
export function withPeerId(address: string, peerId: string): string {
  return address.includes('/p2p/') ? address : `${address.replace(/\/$/, '')}/p2p/${peerId}`
}

/** The peer id that an address names, or undefined. Throws INVALID_MULTIADDR errors of the library. */
export function peerIdOfAddress(address: string): string | undefined {
  return multiaddr(address)
    .getComponents()
    .findLast(component => component.name === 'p2p')?.value
}
