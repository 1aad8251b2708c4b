// Three nodes; the one that leads some partitions is killed (SIGKILL), frozen (SIGSTOP) or asked to stop (SIGTERM, which
// hands its leaderships over) while an account of each of these partitions gets one deposit after the other through
// another node. What counts is the longest time without an accepted deposit, of every partition and round. Beside it the
// same when nobody goes: so much the machine alone stalls the writes of four processes.
import { percentile } from './measure.ts'
import {
  accepted,
  type ChildNode,
  ledAsWanted,
  openAccounts,
  partitionOfAccount,
  settled,
  startChildNode,
  startLibraryNode,
} from './nodes.ts'
import { accountId, runPart } from './settings.ts'

/** How a node goes, by the signal that makes it go. */
const departures = ['none', 'SIGKILL', 'SIGSTOP', 'SIGTERM'] as const
export type Departure = (typeof departures)[number]

export interface Stalls {
  readonly rounds: number
  /** One per partition that the node led and round. */
  readonly samples: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export type FailoverResult = Readonly<Record<Departure, Stalls>>

/** Deposits flow for so long before the node goes. */
const leadInMs = 300
/** And for so long after each partition has accepted one again: what a late change of leader stalls counts too. */
const leadOutMs = 500

await runPart(async (settings, cleanUp): Promise<FailoverResult> => {
  const { folder, accounts, kills: rounds } = settings
  const first = await startChildNode(folder, 'a', cleanUp)
  const children = [first]
  for (const name of ['b', 'c']) {
    children.push(await startChildNode(folder, name, cleanUp, first.addresses))
  }
  // Holds no replicas: what is timed is the cluster of three, seen by one that only asks.
  const client = await startLibraryNode(folder, cleanUp, { role: 'query', bootstrap: first.addresses })
  /** Every node is in contact with all others, and leads what it is preferred for. */
  async function allSettled(): Promise<void> {
    for (const child of children) await settled(child, 3)
    await settled(client, 3)
    await ledAsWanted(client)
  }
  await allSettled()
  await openAccounts(client, accounts)

  /** One account of every partition that this node leads. */
  async function accountsLedBy(victim: ChildNode): Promise<string[]> {
    const { partitions } = await first.status()
    const led = new Set(partitions.filter(({ leader }) => leader === victim.peerId).map(({ id }) => id))
    const found: string[] = []
    for (let number = 0; number < accounts; number += 1) {
      if (led.delete(partitionOfAccount(accountId(number)))) found.push(accountId(number))
    }
    if (found.length === 0) throw new Error(`node ${victim.peerId} leads no partition of an account`)
    return found
  }

  /** Resolves with the longest time without an accepted deposit to this account. */
  async function longestStall(id: string, gone: Promise<number>): Promise<number> {
    let goneAt = Number.POSITIVE_INFINITY
    void gone.then(at => {
      goneAt = at
    })
    let last = performance.now()
    let longest = 0
    let resumedAt = Number.POSITIVE_INFINITY
    while (last < resumedAt + leadOutMs) {
      const sentAt = performance.now()
      await accepted(client, id, 'DepositMoney', { amount: 1 })
      const now = performance.now()
      if (now > goneAt) longest = Math.max(longest, now - last)
      if (sentAt > goneAt) resumedAt = Math.min(resumedAt, now)
      last = now
    }
    return longest
  }

  async function measureDeparture(departure: Departure): Promise<Stalls> {
    const stalls: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      await allSettled()
      const victim = children[round % children.length]
      if (victim === undefined) throw new Error('there are no nodes that could go')
      const gone = Promise.withResolvers<number>()
      const watched = (await accountsLedBy(victim)).map(id => longestStall(id, gone.promise))
      await new Promise(resolve => setTimeout(resolve, leadInMs))
      gone.resolve(performance.now())
      if (departure !== 'none') await victim.signal(departure)
      for (const stall of await Promise.all(watched)) stalls.push(stall)
      if (departure === 'SIGSTOP') await victim.signal('SIGCONT')
      else if (departure !== 'none') await victim.restart()
    }
    const sorted = stalls.toSorted((a, b) => a - b)
    const [p50Ms, p99Ms, maxMs] = [percentile(sorted, 0.5), percentile(sorted, 0.99), percentile(sorted, 1)]
    return { rounds, samples: sorted.length, p50Ms, p99Ms, maxMs }
  }

  const result: Partial<Record<Departure, Stalls>> = {}
  for (const departure of departures) result[departure] = await measureDeparture(departure)
  return result as FailoverResult
})
