// The controller's log on this node: folds what is committed into the cluster state, and takes new commands.
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { Raft, RoleChange } from '../raft/raft.ts'
import { decodeRecord, encodeRecord } from '../store/record-codec.ts'
import {
  applyControllerCommand,
  type ClusterState,
  type ControllerCommand,
  emptyClusterState,
} from './cluster-state.ts'
import type { Obstacle } from './removal-obstacle.ts'

/** Bytes of the log that are read at a time. */
const pageBytesMax = 1024 * 1024
const retryMs = 100
const attemptMsMax = 2000

export interface ControllerLogInit {
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  /** The group of the controller, when this node has it. */
  readonly group: () => Raft | undefined
  readonly touch: () => void
  /** Asked on the controller's leader before a node is removed, or starts to leave: why it must not, or null. */
  readonly obstacleTo: (
    command: Extract<ControllerCommand, { readonly type: 'remove-node' | 'drain-node' }>,
  ) => Promise<Obstacle | null>
  /** Voters of the controller that this node does not reach, by name, for people. */
  readonly missingVoters: () => { readonly voters: number; readonly missing: readonly string[] }
}

export interface ControllerLog {
  state(): ClusterState
  onChange(listener: () => void): void
  /** True when this node leads the controller and may decide. */
  isLeader(): boolean
  /** Peer id. */
  leader(): string | null
  /** Who leads it, or why nobody does: for errors that people read. */
  leaderInWords(): string
  /**
   * Resolves when the command is committed, here or through the controller's leader. Throws UNAVAILABLE after the
   * deadline; the command may take effect all the same, so commands are written to be repeated. Throws
   * INVALID_ARGUMENT for the removal of a node that is needed, and for the last one that wants to leave. A node that is
   * needed only until replicas have moved is waited for.
   */
  submit(command: ControllerCommand, options: { readonly timeoutMs: number }): Promise<void>
  committed(range: { readonly from: number; readonly to: number }): void
  roleChanged(change: RoleChange): void
}

interface PendingCommand {
  readonly resolve: () => void
  readonly reject: (error: GlynError) => void
}

const controllerAggregate = { type: 'glyn.controller', id: 'cluster' } as const
const parseCommand = (text: string): ControllerCommand => JSON.parse(text) as ControllerCommand

const proposeMethod = 'controller.propose'

export function createControllerLog(init: ControllerLogInit): ControllerLog {
  const { rpc, clock, log } = init
  let state = emptyClusterState
  let canServe = false
  let term = 0
  /** Of the last applied command: the controller's log is the history of one aggregate, and can be read like any. */
  let sequence = 0
  const pending = new Map<number, PendingCommand>()
  const listeners: (() => void)[] = []
  /** Nodes go one at a time: what the next one leaves behind is judged when this one's going is known. */
  let isJudging = false

  const leader = (): string | null => {
    const id = init.group()?.status().leader
    return id === undefined || id === null ? null : peerIdOf(id)
  }

  const isLeader = (): boolean => canServe && init.group()?.status().role === 'leader'

  function committed(range: { readonly from: number; readonly to: number }): void {
    const before = state
    let next = range.from
    while (next <= range.to) {
      const entries = init.group()?.entries(next, range.to, pageBytesMax) ?? []
      if (entries.length === 0) throw new Error(`controller: committed entry ${next} cannot be read`)
      for (const entry of entries) {
        if (entry.kind === 'command') take(entry.payload)
        pending.get(entry.index)?.resolve()
        pending.delete(entry.index)
        next = entry.index + 1
      }
    }
    if (state !== before) for (const listener of listeners) listener()
  }

  function take(payload: Uint8Array): void {
    const record = decodeRecord(payload)
    for (const event of record.events) state = applyControllerCommand(state, parseCommand(event.data))
    sequence = record.firstSequence + record.events.length - 1
  }

  function roleChanged(change: RoleChange): void {
    if (change.role !== 'leader' || change.term !== term) {
      const error = new GlynError(
        'OUTCOME_UNKNOWN',
        'leadership of the controller was lost before the commit was known',
      )
      for (const command of pending.values()) command.reject(error)
      pending.clear()
    }
    term = change.term
    canServe = change.canServe
  }

  async function proposeHere(command: ControllerCommand): Promise<void> {
    const takesAway = command.type === 'remove-node' || (command.type === 'drain-node' && command.isDraining)
    if (!takesAway) return await append(command)
    if (!isLeader()) throw notLeader()
    if (isJudging) throw new GlynError('UNAVAILABLE', 'another node is being removed, or starts to leave')
    isJudging = true
    try {
      const obstacle = await init.obstacleTo(command)
      if (obstacle !== null)
        throw new GlynError(obstacle.isPassing ? 'UNAVAILABLE' : 'INVALID_ARGUMENT', obstacle.text)
      await append(command)
    } finally {
      isJudging = false
    }
  }

  function append(command: ControllerCommand): Promise<void> {
    const group = init.group()
    if (group === undefined || !isLeader()) throw notLeader()
    const firstSequence = sequence + pending.size + 1
    const payload = encodeRecord({
      aggregate: controllerAggregate,
      commandId: `${term}-${firstSequence}`,
      firstSequence,
      timeMs: clock.wallTime(),
      metadata: '{}',
      events: [{ type: command.type, version: 1, data: JSON.stringify(command) }],
    })
    const result = group.propose(payload)
    if (result.type === 'refused' && result.reason === 'overloaded') {
      throw new GlynError('OVERLOADED', 'controller: too many bytes wait for their commit')
    }
    if (result.type === 'refused') throw notLeader()
    init.touch()
    return new Promise<void>((resolve, reject) => pending.set(result.index, { resolve, reject }))
  }

  const notLeader = (): GlynError =>
    new GlynError('NOT_LEADER', leaderInWords(), { details: { leader: leader() } })

  function leaderInWords(): string {
    const known = leader()
    if (known !== null) return `this node does not lead the controller, ${known} does`
    const { voters, missing } = init.missingVoters()
    if (missing.length === 0) return 'the controller has no leader yet; all of its voters are reachable'
    return `the controller has no leader: ${missing.length} of its ${voters} voters cannot be reached: ${missing.join(', ')}`
  }

  async function submit(command: ControllerCommand, options: { readonly timeoutMs: number }): Promise<void> {
    const deadline = clock.now() + options.timeoutMs
    let last: unknown
    while (clock.now() < deadline) {
      try {
        const target = leader()
        if (isLeader()) return await within(() => proposeHere(command), deadline - clock.now(), clock)
        if (target === null) throw notLeader()
        const body = new TextEncoder().encode(JSON.stringify(command))
        await rpc.request(target, proposeMethod, body, {
          timeoutMs: Math.min(attemptMsMax, deadline - clock.now()),
        })
        return
      } catch (error) {
        if (!(error instanceof GlynError) || !error.retryable) throw error
        // An attempt that the deadline cut off says less than the one before it.
        const isCutOff = clock.now() >= deadline && hasCode(error, 'TIMEOUT')
        if (last === undefined || !isCutOff) last = error
      }
      await new Promise<void>(resolve => clock.after(retryMs, resolve))
    }
    const why = last instanceof Error ? `: ${last.message}` : ''
    throw new GlynError(
      'UNAVAILABLE',
      `the controller did not take ${command.type} in ${options.timeoutMs} ms${why}`,
      {
        cause: last,
      },
    )
  }

  rpc.serve(proposeMethod, async (from, body) => {
    if (state.nodes.get(from)?.state === 'removed' || !state.nodes.has(from)) {
      throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
    }
    const command = parseCommand(new TextDecoder().decode(body))
    log.debug({ from, command: command.type }, 'controller: a command arrived')
    await within(() => proposeHere(command), attemptMsMax, clock)
    return new Uint8Array()
  })

  return {
    state: () => state,
    onChange: listener => listeners.push(listener),
    isLeader,
    leader,
    leaderInWords,
    submit,
    committed,
    roleChanged,
  }
}

/** Rejects with TIMEOUT when the promise takes longer. */
async function within<T>(act: () => Promise<T>, timeoutMs: number, clock: Clock): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const cancel = clock.after(Math.max(0, timeoutMs), () =>
    reject(new GlynError('TIMEOUT', `the controller took longer than ${timeoutMs} ms`)),
  )
  try {
    return await Promise.race([act(), late])
  } finally {
    cancel()
  }
}

/** True for failures that another attempt may cure. */
export const isPassing = (error: unknown): boolean =>
  hasCode(error, 'NOT_LEADER', 'UNAVAILABLE', 'TIMEOUT', 'PEER_UNREACHABLE', 'OUTCOME_UNKNOWN', 'OVERLOADED')
