// Given events on their way to the leader of their partition: many appends in one request.
import { GlynError } from '../core/errors.ts'
import { ownIdPrefix } from '../core/system-types.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { AggregateHost } from '../partition/aggregate-host.ts'
import type { AppendAnswer } from '../partition/given-appends.ts'
import type { LeaderWait } from '../registry/leader-wait.ts'
import type { Append } from '../store/shared-store.ts'
import {
  decodeAppendAnswers,
  decodeAppendRequest,
  encodeAppendAnswers,
  encodeAppendRequest,
} from './append-frame.ts'
import { checkAppend } from './check-append.ts'
import type { GivenAppend } from './node-api.ts'

const appendMethod = 'aggregate.append'

/** `records` as `encodeAppend` makes them. One answer for each. */
export type RemoteAppends = (request: {
  readonly peerId: string
  readonly partition: number
  readonly records: readonly Uint8Array[]
  readonly timeoutMs: number
}) => Promise<readonly AppendAnswer[]>

export async function requestAppends(
  rpc: Rpc,
  request: Parameters<RemoteAppends>[0],
): Promise<readonly AppendAnswer[]> {
  const { peerId, partition, records, timeoutMs } = request
  const body = encodeAppendRequest(partition, records)
  const answers = decodeAppendAnswers(await rpc.request(peerId, appendMethod, body, { timeoutMs }), partition)
  if (answers.length === records.length) return answers
  const text = `${peerId} answered ${records.length} appends with ${answers.length} answers`
  throw new GlynError('INTERNAL', text)
}

export function serveAppends(
  rpc: Rpc,
  init: {
    readonly host: Pick<AggregateHost, 'append'>
    readonly checkPartition: (partition: number, aggregate: Append['aggregate']) => void
    readonly leaderWait: LeaderWait
    readonly isMember: (peerId: string) => boolean
  },
): void {
  rpc.serve(appendMethod, async (from, body) => {
    const { partition, appends } = decodeAppendRequest(body)
    const checked = appends.map((given, place) => {
      const append = checkAppend(given, `append ${place + 1}`)
      init.checkPartition(partition, append.aggregate)
      if (!init.isMember(from)) refuseOwnIds(append)
      return { ...append, partition }
    })
    return encodeAppendAnswers(
      await init.leaderWait.run(partition, () => init.host.append(partition, checked)),
    )
  })
}

/** Ids of what reactions of nodes send: a client claims none of them. */
function refuseOwnIds({ commandId }: GivenAppend): void {
  if (!commandId.startsWith(ownIdPrefix)) return
  const text = `command id is ${JSON.stringify(commandId)}; allowed: one that does not begin with ${ownIdPrefix}`
  throw new GlynError('INVALID_ARGUMENT', text)
}
