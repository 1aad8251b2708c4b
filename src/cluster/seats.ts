// Who sits in which group, asked of those who know: the leaders. The controller's log says what is wanted; only the
// groups themselves say what is.
import type { Log } from '../core/log.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { Configuration } from '../raft/configuration.ts'
import type { RaftStatus } from '../raft/raft.ts'

const seatsMethod = 'cluster.seats'
const seatsTimeoutMs = 1000

/** What one replica says of its group. */
export interface Seating {
  readonly partition: number
  readonly term: number
  /** It leads, has committed in its term, and the configuration is committed. */
  readonly isSure: boolean
  /** Peer id. */
  readonly leader: string | null
  /** The index of the configuration's entry. */
  readonly index: number
  readonly configuration: Configuration
}

/** By partition: one sure seating, or what the replicas say that know of no leader, or nothing. */
export type SeatTable = ReadonlyMap<number, readonly Seating[]>

export interface SeatsInit {
  readonly rpc: Rpc
  readonly log: Log
  readonly statuses: () => readonly (readonly [partition: number, status: RaftStatus])[]
  /** Connected members. */
  readonly peers: () => readonly string[]
  readonly isMember: (peerId: string) => boolean
}

export interface Seats {
  /** Asks every connected member, at most a second. Who does not answer is not waited for. */
  gather(): Promise<SeatTable>
}

export function createSeats(init: SeatsInit): Seats {
  const { rpc, log } = init

  const here = (): Seating[] =>
    init
      .statuses()
      .filter(([, { role, leader }]) => role === 'leader' || leader === null)
      .map(([partition, status]) => ({
        partition,
        term: status.term,
        leader: status.leader === null ? null : peerIdOf(status.leader),
        isSure:
          status.role === 'leader' && status.canServe && status.configurationIndex <= status.commitIndex,
        index: status.configurationIndex,
        configuration: status.configuration,
      }))

  rpc.serve(seatsMethod, from => encode(init.isMember(from) ? here() : []))

  async function ask(peerId: string): Promise<readonly Seating[]> {
    try {
      const answer = await rpc.request(peerId, seatsMethod, new Uint8Array(), { timeoutMs: seatsTimeoutMs })
      return decode(answer)
    } catch (error) {
      log.debug({ peer: peerId, error: String(error) }, 'cluster: a member did not say whom its groups seat')
      return []
    }
  }

  return {
    async gather() {
      const answers = await Promise.all(init.peers().map(ask))
      const table = new Map<number, readonly Seating[]>()
      for (const seating of [...here(), ...answers.flat()]) {
        table.set(seating.partition, better(table.get(seating.partition) ?? [], seating))
      }
      return table
    },
  }
}

/** The sure one of the highest term stands alone. */
function better(known: readonly Seating[], next: Seating): readonly Seating[] {
  const sure = known.find(({ isSure }) => isSure)
  if (sure === undefined) return next.isSure ? [next] : [...known, next]
  return next.isSure && next.term > sure.term ? [next] : known
}

const encode = (seats: readonly Seating[]): Uint8Array => new TextEncoder().encode(JSON.stringify(seats))
const decode = (body: Uint8Array): readonly Seating[] =>
  JSON.parse(new TextDecoder().decode(body)) as readonly Seating[]
