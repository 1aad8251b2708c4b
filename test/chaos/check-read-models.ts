// G4: on every member, feed and queries saw each committed event once, in the order of its partition.
import type { ClusterDump, DumpedEvent, NodeDump, SeenEvent } from './dump.ts'
import type { Violation } from './violation.ts'

export function checkReadModels({ nodes }: ClusterDump, truth: readonly DumpedEvent[]): Violation[] {
  const orders = Map.groupBy(truth, event => event.partition)
  const last = new Map(truth.map(({ aggregate, balance }) => [aggregate, balance]))
  return nodes
    .filter(({ isMember }) => isMember)
    .flatMap(node => [
      ...checkSeen(`the feed of ${node.node}`, node.feed, orders),
      ...checkSeen(`the query tally of ${node.node}`, node.tally, orders),
      ...checkBalances(node, last),
    ])
}

function checkSeen(
  who: string,
  seen: readonly SeenEvent[] | null,
  orders: ReadonlyMap<number, readonly DumpedEvent[]>,
): Violation[] {
  if (seen === null) return []
  const found: Violation[] = []
  const seenIn = Map.groupBy(seen, event => event.partition)
  for (const partition of new Set([...orders.keys(), ...seenIn.keys()])) {
    const wrong = firstDifference(seenIn.get(partition) ?? [], orders.get(partition) ?? [])
    if (wrong !== null) found.push({ guarantee: 'G4', text: `${who}, partition ${partition}: ${wrong}` })
  }
  return found
}

function firstDifference(seen: readonly SeenEvent[], order: readonly SeenEvent[]): string | null {
  for (let place = 0; place < Math.max(seen.length, order.length); place += 1) {
    const [own, due] = [seen[place], order[place]]
    if (own === undefined) return `it never saw ${nameOf(due)}`
    if (due !== undefined && nameOf(own) === nameOf(due)) continue
    if (seen.slice(0, place).some(earlier => nameOf(earlier) === nameOf(own)))
      return `it saw ${nameOf(own)} twice`
    if (due === undefined) return `it saw ${nameOf(own)}, which was never committed`
    return `it saw ${nameOf(own)} where ${nameOf(due)} was due`
  }
  return null
}

const nameOf = (event: SeenEvent | undefined): string =>
  event === undefined ? 'nothing' : `${event.aggregate} ${event.sequence} (index ${event.index})`

function checkBalances(node: NodeDump, last: ReadonlyMap<string, number>): Violation[] {
  const found: Violation[] = []
  for (const [account, balance] of last) {
    for (const [what, given] of [
      ['has', node.balances?.[account]],
      ['answers', node.answers?.[account]],
    ] as const) {
      const wasAsked = what === 'has' ? node.balances !== null : node.answers !== null
      if (!wasAsked || given === balance) continue
      const text = `the query balance of ${node.node} ${what} ${given ?? 'nothing'} for ${account}; its events add up to ${balance}`
      found.push({ guarantee: 'G4', text, aggregate: account })
    }
  }
  return found
}
