// What `placement` says: how replicas and leaderships are spread over the nodes, whether that is as wanted, and what moves.
import { placementChanges } from '../cluster/wanted-placement.ts'
import { controllerPartition } from '../core/partition-of.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { PlacementStatus } from './node-api.ts'
import { partitionStatuses, type StatusSources } from './node-status.ts'

export function placementStatus(sources: StatusSources): PlacementStatus {
  const partitions = partitionStatuses(sources).map(({ id, leader, voters, learners }) => {
    const wanted = sources.state.wanted.get(id)
    const wantedIds =
      id === controllerPartition || wanted === undefined
        ? [...voters, ...learners]
        : [...wanted.voters, ...wanted.learners].map(peerIdOf)
    return { id, leader, wanted: wantedIds, voters, learners }
  })
  const data = partitions.filter(({ id }) => id !== controllerPartition)
  const nodes = [...sources.state.nodes.values()]
    .filter(node => node.state !== 'removed')
    .map(({ peerId, name }) => ({
      peerId,
      name,
      leads: data.filter(({ leader }) => leader === peerId).length,
      votes: data.filter(({ voters }) => voters.includes(peerId)).length,
      learns: data.filter(({ learners }) => learners.includes(peerId)).length,
      wantedLeads: data.filter(({ wanted }) => wanted[0] === peerId).length,
      wantedReplicas: data.filter(({ wanted }) => wanted.includes(peerId)).length,
    }))
  const moves = movesOf(sources)
  const isLedAsWanted = nodes.every(({ leads, wantedLeads }) => leads === wantedLeads)
  // A node that has just joined calls for places that nobody has written down yet.
  const isPlanned = Object.keys(placementChanges(sources.state)).length === 0
  return { partitions, nodes, moves, asWanted: isPlanned && moves.length === 0 && isLedAsWanted }
}

/** What has to happen until every data partition has the replicas that the controller wants. */
export function movesOf(sources: StatusSources): PlacementStatus['moves'] {
  return partitionStatuses(sources).flatMap(({ id, voters, learners }) => {
    const wanted = sources.state.wanted.get(id)
    if (wanted === undefined) return []
    const wantedVoters = wanted.voters.map(peerIdOf)
    const wantedLearners = wanted.learners.map(peerIdOf)
    const all = new Set([...wantedVoters, ...wantedLearners, ...voters, ...learners])
    return [...all].flatMap(peerId => {
      const is = seatOf(peerId, voters, learners)
      const shall = seatOf(peerId, wantedVoters, wantedLearners)
      return is === shall
        ? []
        : [
            {
              partition: id,
              peerId,
              name: sources.state.nodes.get(peerId)?.name ?? peerId,
              from: is,
              to: shall,
            },
          ]
    })
  })
}

function seatOf(
  peerId: string,
  voters: readonly string[],
  learners: readonly string[],
): 'voter' | 'learner' | 'none' {
  if (voters.includes(peerId)) return 'voter'
  return learners.includes(peerId) ? 'learner' : 'none'
}
