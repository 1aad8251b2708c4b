// Whether the other members can be reached: as the running node sees it, or, of a stopped node, by dialling them.
import { connect } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import type { ClusterNode } from '../cluster/cluster-state.ts'
import { controllerPartition } from '../core/partition-of.ts'
import type { StoreReader } from '../store/sqlite/open-store-reader.ts'
import { type DoctorCheck, notOk, ok, skipped, textOf } from './doctor-check.ts'
import { foldController } from './fold-controller.ts'
import type { NodeStatus } from './node-api.ts'

const dialMsMax = 2000

export function membersOfStatus({ members, node }: NodeStatus): DoctorCheck {
  const others = members.filter(({ peerId, state }) => peerId !== node.peerId && state !== 'removed')
  const gone = others.filter(({ reachable }) => !reachable)
  if (others.length === 0) return ok('members', 'this node is the only one')
  if (gone.length === 0) return ok('members', `all ${others.length} others are connected`)
  return notOk(
    'members',
    `not reachable: ${gone.map(({ name, peerId }) => `${name} (${peerId})`).join(', ')}`,
    {
      remedy:
        'start them, or see what is between; one that never comes back: glyn-node members remove <peer id>',
      details: { unreachable: gone.map(({ peerId }) => peerId) },
    },
  )
}

/** The members as this node knew them when it stopped. A connection is all that is tried: who answers is not asked. */
export async function dialMembers(store: StoreReader, self: string | undefined): Promise<DoctorCheck> {
  const lastIndex = store.recover().find(({ partition }) => partition === controllerPartition)?.lastIndex ?? 0
  const { state } = foldController(store.log(controllerPartition), lastIndex)
  const others = [...state.nodes.values()].filter(node => node.peerId !== self && node.state !== 'removed')
  if (others.length === 0) return skipped('members', 'this node knows of no others')
  const answers = await Promise.all(others.map(reach))
  const gone = answers.filter(({ error }) => error !== null)
  if (gone.length === 0) return ok('members', `all ${others.length} others take connections`)
  return notOk(
    'members',
    `no connection to ${gone.map(({ node, error }) => `${node.name} (${error})`).join(', ')}`,
    {
      state: 'warning',
      remedy: 'start them, or see what is between; this node needs a majority to work',
      details: { unreachable: gone.map(({ node }) => node.peerId) },
    },
  )
}

async function reach(
  node: ClusterNode,
): Promise<{ readonly node: ClusterNode; readonly error: string | null }> {
  let error: string | null = 'it has no address'
  for (const address of node.addresses) {
    error = await dial(address)
    if (error === null) break
  }
  return { node, error }
}

/** Null when somebody took the connection. */
function dial(address: string): Promise<string | null> {
  const parts = new Map<string, string>()
  try {
    for (const { name, value } of multiaddr(address).getComponents())
      if (value !== undefined) parts.set(name, value)
  } catch (error) {
    return Promise.resolve(textOf(error))
  }
  const host = ['ip4', 'ip6', 'dns4', 'dns6', 'dns']
    .map(name => parts.get(name))
    .find(value => value !== undefined)
  const port = Number(parts.get('tcp'))
  if (host === undefined || !Number.isInteger(port)) return Promise.resolve(`${address} is no TCP address`)
  return new Promise(resolve => {
    const socket = connect({ host, port })
    const end = (error: string | null): void => {
      socket.destroy()
      resolve(error)
    }
    socket.setTimeout(dialMsMax, () => end(`${host}:${port} does not answer`))
    socket.once('connect', () => end(null))
    socket.once('error', error => end(error.message))
  })
}
