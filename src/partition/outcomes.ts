// The answers to commands, made from what rests in the log.

import type { Rejection } from '../core/aggregate.ts'
import { invariant } from '../core/assert.ts'
import type { CommandEnvelope } from '../core/command.ts'
import type { Accepted, Rejected } from '../core/outcome.ts'
import type { Position } from '../core/position.ts'
import type { StoredEvent } from '../core/record.ts'
import { tokenOf } from '../core/token.ts'
import type { RaftStatus } from '../raft/raft.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'

/** `rows` are all events of the command, at least one. The data are read from their JSON, and belong to the caller. */
export function acceptedWith(
  rows: readonly StoredEvent[],
  facts: { readonly replicas: number; readonly isReplayed: boolean },
): Accepted {
  const last = rows.at(-1)
  invariant(last !== undefined, 'an entry of a command holds at least one event')
  const position = { partition: last.partition, index: last.index }
  return {
    type: 'accepted',
    commandId: last.commandId,
    aggregate: { type: last.aggregateType, id: last.aggregateId },
    events: rows.map(toEventEnvelope),
    sequence: last.sequence,
    position,
    token: tokenOf(position),
    replicas: facts.replicas,
    replayed: facts.isReplayed,
  }
}

/** A command that had nothing to say. Nothing is stored, so a retry is decided afresh. */
export function acceptedWithoutEvents(
  command: Pick<CommandEnvelope, 'aggregate' | 'commandId'>,
  facts: { readonly sequence: number; readonly position: Position; readonly replicas: number },
): Accepted {
  const { aggregate, commandId } = command
  const { sequence, position, replicas } = facts
  const token = tokenOf(position)
  return {
    type: 'accepted',
    commandId,
    aggregate,
    events: [],
    sequence,
    position,
    token,
    replicas,
    replayed: false,
  }
}

export function rejectedWith({ code, message, details }: Rejection, commandId: string): Rejected {
  const rejected = { type: 'rejected' as const, commandId, code, message }
  return details === undefined ? rejected : { ...rejected, details }
}

/** Replicas known to hold the entry on their disks, this one included. */
export const replicasAt = (status: RaftStatus | undefined, index: number): number =>
  1 + (status?.progress.filter(({ id, match }) => id !== status.id && match >= index).length ?? 0)
