// The log's account of the cluster: one line for each change of state that matters to people, none for what is as usual.
// It looks once a second, so that what happens to many partitions at once is one line, and what passes at once is none.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { durationInWords } from './duration-in-words.ts'
import { inShort } from './in-short.ts'

const lookMs = 1000
/** An election takes a second or two: a partition without a leader is told of after this long. */
const leaderlessMsMin = 3000
/** A replica that was behind for less is not told of when it has caught up. */
const behindMsMin = 2000

/** The cluster as this node sees it now. */
export interface ClusterView {
  /** False while this node joins, and has no copy of the cluster's state yet. */
  readonly isListed: boolean
  /** By peer id, without this node. */
  readonly members: ReadonlyMap<
    string,
    {
      readonly name: string
      readonly state: 'active' | 'draining' | 'removed'
      readonly role: string
      readonly isConnected: boolean
      /** Why it stopped, as it said itself. */
      readonly lastWords: string | null
    }
  >
  /** Partitions that have no leader, as far as this node knows; and why, in words. */
  readonly leaderless: ReadonlyMap<number, string>
  /** Partitions that this node leads. */
  readonly led: ReadonlySet<number>
  /** Led here, and not yet where they belong. */
  readonly moving: ReadonlySet<number>
  /** Led here: the names of followers that are heard and not caught up. */
  readonly behind: ReadonlyMap<number, readonly string[]>
}

export interface ChangeLog {
  start(): void
  stop(): void
}

export function createChangeLog(init: {
  readonly clock: Clock
  readonly log: Log
  readonly view: () => ClusterView
}): ChangeLog {
  const { clock, log } = init
  let before: ClusterView | undefined
  let cancel: Cancel = () => {}
  /** Since when a member is out of contact, a partition leaderless, a replica behind. */
  const lostAt = new Map<string, number>()
  const leaderlessAt = new Map<number, number>()
  const toldLeaderless = new Set<number>()
  const behindAt = new Map<string, number>()

  function look(): void {
    const now = init.view()
    // A joining node finds nobody, and then all of them at once: that is no news.
    if (before?.isListed === true) tellMembers(before, now)
    tellContacts(before, now)
    tellLeaderless(now)
    if (before !== undefined) tellMoves(before, now)
    tellCaughtUp(now)
    before = now
  }

  function tellMembers(earlier: ClusterView, now: ClusterView): void {
    for (const [peer, { name, state, role }] of now.members) {
      const known = earlier.members.get(peer)?.state
      if (known === state) continue
      if (known === undefined && state !== 'removed') log.info({ peer, role }, `cluster: ${name} has joined`)
      else if (state === 'draining')
        log.info({ peer }, `cluster: ${name} is leaving, its replicas move to others`)
      else if (state === 'removed') log.info({ peer }, `cluster: ${name} is removed for ever`)
      else log.info({ peer }, `cluster: ${name} stays after all`)
    }
  }

  function tellContacts(earlier: ClusterView | undefined, now: ClusterView): void {
    for (const [peer, { name, state, isConnected, lastWords }] of now.members) {
      const was = earlier?.members.get(peer)?.isConnected
      if (isConnected) {
        const since = lostAt.get(peer)
        lostAt.delete(peer)
        if (was === true || state === 'removed') continue
        const forMs = since === undefined ? undefined : clock.now() - since
        const after = forMs === undefined ? '' : ` again, after ${durationInWords(forMs)}`
        log.info({ peer }, `cluster: in contact with ${name}${after}`)
      } else if (was === true) {
        lostAt.set(peer, clock.now())
        if (state !== 'removed')
          log.warn(
            { peer },
            `cluster: lost contact with ${name}${lastWords === null ? '' : `: ${lastWords}`}`,
          )
      }
    }
  }

  function tellLeaderless(now: ClusterView): void {
    const lost = new Map<string, number[]>()
    for (const [partition, why] of now.leaderless) {
      const since = leaderlessAt.get(partition) ?? clock.now()
      leaderlessAt.set(partition, since)
      if (clock.now() - since < leaderlessMsMin || toldLeaderless.has(partition)) continue
      toldLeaderless.add(partition)
      lost.set(why, [...(lost.get(why) ?? []), partition])
    }
    for (const [why, partitions] of lost) {
      const reason = why === '' ? '' : `: ${why}`
      log.warn({ partitions }, `cluster: partition ${inShort(partitions)} has no leader${reason}`)
    }
    const found: number[] = []
    let longestMs = 0
    for (const [partition, since] of leaderlessAt) {
      if (now.leaderless.has(partition)) continue
      leaderlessAt.delete(partition)
      if (!toldLeaderless.delete(partition)) continue
      found.push(partition)
      longestMs = Math.max(longestMs, clock.now() - since)
    }
    if (found.length > 0) {
      const text = `cluster: partition ${inShort(found)} has a leader again, after ${durationInWords(longestMs)}`
      log.info({ partitions: found }, text)
    }
  }

  function tellMoves(earlier: ClusterView, now: ClusterView): void {
    const begun = [...now.moving].filter(partition => !earlier.moving.has(partition))
    if (begun.length > 0)
      log.info(
        { partitions: begun },
        `cluster: replicas of partition ${inShort(begun)} move to where they belong`,
      )
    const ended = [...earlier.moving].filter(
      partition => !now.moving.has(partition) && now.led.has(partition),
    )
    if (ended.length > 0)
      log.info(
        { partitions: ended },
        `cluster: replicas of partition ${inShort(ended)} are where they belong`,
      )
  }

  function tellCaughtUp(now: ClusterView): void {
    for (const [partition, names] of now.behind) {
      for (const name of names) {
        const key = `${partition} ${name}`
        if (!behindAt.has(key)) behindAt.set(key, clock.now())
      }
    }
    const caughtUp = new Map<string, number[]>()
    for (const [key, since] of behindAt) {
      const place = key.indexOf(' ')
      const partition = Number(key.slice(0, place))
      const name = key.slice(place + 1)
      if (now.behind.get(partition)?.includes(name) === true) continue
      behindAt.delete(key)
      if (!now.led.has(partition) || clock.now() - since < behindMsMin) continue
      caughtUp.set(name, [...(caughtUp.get(name) ?? []), partition])
    }
    for (const [name, partitions] of caughtUp)
      log.info(
        { partitions },
        `cluster: the replica on ${name} of partition ${inShort(partitions)} has caught up`,
      )
  }

  function schedule(): void {
    cancel = clock.after(lookMs, () => {
      look()
      schedule()
    })
  }

  return {
    start() {
      before = init.view()
      schedule()
    },
    stop: () => cancel(),
  }
}
