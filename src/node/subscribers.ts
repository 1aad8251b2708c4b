// Answers `subscribers`: asks every member which queries it runs. Who does not answer in time is named, and unknown.
import type { ClusterState } from '../cluster/cluster-state.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { QueryStatus } from '../query/query.ts'
import type { NodeSubscribers } from './node-api.ts'

const queriesMethod = 'node.queries'
export const subscribersTimeoutMs = 2000
/** Members that are asked at once. */
const askedAtOnceMax = 64

type Queries = NodeSubscribers['queries']

export interface Subscribers {
  list(options: { readonly timeoutMs: number }): Promise<readonly NodeSubscribers[]>
}

export function createSubscribers(init: {
  readonly self: string
  readonly rpc: Rpc
  readonly state: () => ClusterState
  readonly isConnected: (peerId: string) => boolean
  readonly queries: () => readonly QueryStatus[]
}): Subscribers {
  const { self, rpc, state } = init

  rpc.serve(queriesMethod, from => {
    const node = state().nodes.get(from)
    if (node === undefined || node.state === 'removed')
      throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
    return new TextEncoder().encode(JSON.stringify(own()))
  })

  const own = (): Queries =>
    init.queries().map(({ name, version, state: queryState, lag, lastError, messages }) => ({
      name,
      version,
      state: queryState,
      lag,
      lastError,
      ...(messages === undefined ? {} : { messages }),
    }))

  async function ask(peerId: string, timeoutMs: number): Promise<Queries> {
    if (peerId === self) return own()
    if (!init.isConnected(peerId)) throw new GlynError('PEER_UNREACHABLE', 'it cannot be reached')
    const answer = await rpc.request(peerId, queriesMethod, new Uint8Array(), { timeoutMs })
    return JSON.parse(new TextDecoder().decode(answer)) as Queries
  }

  return {
    async list({ timeoutMs }) {
      const members = [...state().nodes.values()]
        .filter(node => node.state !== 'removed')
        .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.peerId < b.peerId ? -1 : 1))
      const found: NodeSubscribers[] = []
      for (let at = 0; at < members.length; at += askedAtOnceMax) {
        const asked = members.slice(at, at + askedAtOnceMax).map(
          async ({ peerId, name }): Promise<NodeSubscribers> =>
            ask(peerId, timeoutMs).then(
              queries => ({ peerId, name, state: 'known', queries, error: null }),
              (error: unknown) => {
                const why = hasCode(error, 'TIMEOUT')
                  ? `it did not answer within ${timeoutMs} ms`
                  : error instanceof Error
                    ? error.message
                    : String(error)
                return { peerId, name, state: 'unknown', queries: [], error: why }
              },
            ),
        )
        found.push(...(await Promise.all(asked)))
      }
      return found
    },
  }
}
