// G1 and G2 on disk: the logs of all nodes are one log, whole, and every aggregate counts 1, 2, 3 … in it.
import type { ClusterDump, DumpedEvent, NodeDump } from './dump.ts'
import type { Violation } from './violation.ts'

/** The committed events, by (partition, index), from the first member that has all of a partition. */
export function committedEvents(dump: ClusterDump): DumpedEvent[] {
  return [...dump.committed].flatMap(([partition, committed]) => {
    const holder = holderOf(dump, partition)
    if (holder === undefined) return []
    return holder.events.filter(event => event.partition === partition && event.index <= committed)
  })
}

const members = ({ nodes }: ClusterDump): NodeDump[] => nodes.filter(({ isMember }) => isMember)

const hashesOf = (node: NodeDump | undefined, partition: number): readonly string[] =>
  node?.partitions.find(own => own.partition === partition)?.hashes ?? []

const holderOf = (dump: ClusterDump, partition: number): NodeDump | undefined =>
  members(dump).find(node => hashesOf(node, partition).length >= (dump.committed.get(partition) ?? 0))

export function checkLogs(dump: ClusterDump): Violation[] {
  const found: Violation[] = []
  for (const { node, damage } of dump.nodes) {
    for (const text of damage) found.push({ guarantee: 'G1', text: `${node}: ${text}` })
  }
  for (const [partition, committed] of dump.committed)
    found.push(...checkPartition(dump, partition, committed))
  return [...found, ...checkSequences(committedEvents(dump))]
}

function checkPartition(dump: ClusterDump, partition: number, committed: number): Violation[] {
  const found: Violation[] = []
  const holder = holderOf(dump, partition)
  if (holder === undefined) {
    const text = `partition ${partition}: committed up to ${committed}, and no member has all of it`
    return [{ guarantee: 'G1', text }]
  }
  const truth = hashesOf(holder, partition)
  for (const node of dump.nodes) {
    const own = node.partitions.find(other => other.partition === partition)
    const isVoter = dump.voters.get(partition)?.includes(node.node) === true
    if (isVoter && (own?.hashes.length ?? 0) < committed) {
      const text = `partition ${partition}: committed up to ${committed}, voter ${node.node} ends at ${own?.hashes.length ?? 0}`
      found.push({ guarantee: 'G1', text })
    }
    if (own === undefined) continue
    // Beyond what it knew to be committed, a node that is gone may hold what never was.
    const certain = Math.min(node.isMember ? committed : own.commitIndex, own.hashes.length, truth.length)
    const differs = own.hashes.slice(0, certain).findIndex((hash, place) => hash !== truth[place])
    if (differs !== -1) {
      const text = `partition ${partition}: the logs of ${holder.node} and ${node.node} part at index ${differs + 1}`
      found.push({ guarantee: 'G2', text })
    }
  }
  return found
}

function checkSequences(truth: readonly DumpedEvent[]): Violation[] {
  const found: Violation[] = []
  for (const [aggregate, events] of Map.groupBy(truth, event => event.aggregate)) {
    let balance = 0
    for (const [place, event] of events.entries()) {
      if (event.sequence !== place + 1) {
        const text = `${aggregate}: sequence ${event.sequence} stands where ${place + 1} should (index ${event.index})`
        found.push({ guarantee: 'G2', text, aggregate })
        break
      }
      balance += event.type === 'CustomerWithdrewCash' ? -event.amount : event.amount
      if (event.balance !== balance) {
        const text = `${aggregate}: the events add up to ${balance} at sequence ${event.sequence}, which says ${event.balance}`
        found.push({ guarantee: 'G2', text, aggregate })
        break
      }
    }
  }
  return found
}
