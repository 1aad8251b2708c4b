// One node in memory on the real core, without mesh and replication: what HTTP and CLI are tested against in process.
import { randomUUID } from 'node:crypto'
import type { AnyAggregate } from '../../src/core/aggregate.ts'
import type { Command } from '../../src/core/command.ts'
import { applyEvent, decide } from '../../src/core/decide.ts'
import { GlynError } from '../../src/core/errors.ts'
import type { DomainEvent, EventEnvelope } from '../../src/core/event.ts'
import { passesFilter } from '../../src/core/event-filter.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { partitionOf } from '../../src/core/partition-of.ts'
import { checkMessage, type NewQueryMessage } from '../../src/core/query-message.ts'
import { formatToken, parseToken, tokenOf } from '../../src/core/token.ts'
import type {
  ExecuteOptions,
  ForgetOptions,
  NodeApi,
  NodeStatus,
  PartitionStatus,
  SubjectReport,
} from '../../src/node/node-api.ts'
import type { QueryStatus } from '../../src/query/query.ts'

const partitionCount = 4

async function unknownQuery(name: string): Promise<never> {
  throw new GlynError('UNKNOWN_QUERY', `there is no query ${JSON.stringify(name)}; allowed: sum`, {
    details: { allowed: ['sum'] },
  })
}

export interface CoreNode extends NodeApi {
  /** Every call of `execute`, in order. */
  readonly executed: readonly {
    readonly key: string
    readonly command: Command
    readonly options: ExecuteOptions
  }[]
  /** Every message that was published, in order. */
  readonly published: readonly NewQueryMessage[]
  readonly forgotten: readonly { readonly subject: string; readonly options: ForgetOptions }[]
  /** Awaited before each command is decided: tests hold or fail commands here. */
  before(hook: (command: Command, options: ExecuteOptions) => Promise<void> | void): void
  isClosed(): boolean
}

/** History that outlives a node, as its disk would. */
export interface CoreHistory {
  readonly events: EventEnvelope[]
  readonly outcomes: Map<string, Outcome>
}

export const createCoreHistory = (): CoreHistory => ({ events: [], outcomes: new Map() })

export function createCoreNode(
  options: {
    readonly aggregates?: readonly AnyAggregate[]
    readonly history?: CoreHistory
    readonly peerId?: string
  } = {},
): CoreNode {
  const aggregates = new Map((options.aggregates ?? [counter]).map(aggregate => [aggregate.type, aggregate]))
  const { events, outcomes } = options.history ?? createCoreHistory()
  const { peerId = '12D3KooWTest' } = options
  const executed: CoreNode['executed'][number][] = []
  const published: NewQueryMessage[] = []
  const forgotten: { subject: string; options: ForgetOptions }[] = []
  let hook: Parameters<CoreNode['before']>[0] = () => {}
  let wake: () => void = () => {}
  let woken = new Promise<void>(resolve => {
    wake = resolve
  })
  let closed = false

  const find = (type: string): AnyAggregate => {
    const found = aggregates.get(type)
    if (found !== undefined) return found
    const allowed = [...aggregates.keys()]
    throw new GlynError(
      'UNKNOWN_AGGREGATE_TYPE',
      `there is no aggregate type ${JSON.stringify(type)}; allowed: ${allowed.join(', ')}`,
      { details: { allowed } },
    )
  }
  const historyOf = (type: string, id: string): EventEnvelope[] =>
    events.filter(event => event.aggregate.type === type && event.aggregate.id === id)
  const load = (type: string, id: string) => {
    const aggregate = find(type)
    const history = historyOf(type, id)
    const state = history.reduce<unknown>(
      (before, event) => applyEvent(aggregate, before, event),
      aggregate.emptyState,
    )
    const partition = partitionOf({ type, id }, partitionCount)
    return {
      aggregate: { type, id },
      sequence: history.length,
      state,
      position: { partition, index: headOf(partition) },
    }
  }
  const headOf = (partition: number): number =>
    Math.max(
      0,
      ...events.filter(event => event.position.partition === partition).map(event => event.position.index),
    )

  const partitions = (): PartitionStatus[] =>
    Array.from({ length: partitionCount + 1 }, (_, id) => ({
      id,
      leader: peerId,
      term: 1,
      voters: [peerId],
      learners: [],
      commitIndex: headOf(id),
    }))

  let isPaused = false
  const sum = (): QueryStatus => ({
    name: 'sum',
    version: 1,
    state: isPaused ? 'paused' : 'running',
    lag: 0,
    lagSeconds: 0,
    ratePerSecond: 0,
    parked: 0,
    held: 0,
    progress: null,
    building: null,
    positions: {},
    file: null,
    lastError: null,
    messages: { handled: published.length, failed: 0, dropped: 0 },
  })
  const findSum = (name: string): QueryStatus => {
    if (name === 'sum') return sum()
    throw new GlynError('UNKNOWN_QUERY', `there is no query ${JSON.stringify(name)}; allowed: sum`, {
      details: { allowed: ['sum'] },
    })
  }

  const memoryOf = (subject: string): SubjectReport => {
    const isKnown = forgotten.some(known => known.subject === subject)
    const mine = { peerId, name: 'core', keys: 1, untold: 0, error: null }
    return {
      subject,
      reference: 'reference',
      complete: isKnown,
      members: [{ ...mine, state: isKnown ? 'forgotten' : 'remembers' }],
    }
  }

  return {
    peerId,
    clusterId: 'cluster-test',
    executed,
    published,
    forgotten,
    before(next) {
      hook = next
    },
    isClosed: () => closed,
    addresses: () => [`/ip4/127.0.0.1/tcp/4001/p2p/${peerId}`],
    definitions: () => ({
      aggregates: new Map([...aggregates.keys()].map(type => [type, null])),
      queries: ['sum'],
    }),
    async execute(type, id, command, given = {}) {
      const { commandId = randomUUID(), metadata = {} } = given
      executed.push({ key: `${type}/${id}`, command, options: given })
      const aggregate = find(type)
      await hook(command, given)
      const first = outcomes.get(commandId)
      if (first !== undefined) return first.type === 'accepted' ? { ...first, replayed: true } : first
      const { state, sequence, position, ...loaded } = load(type, id)
      const decided = decide(aggregate, state, command)
      if (decided.type === 'rejected') {
        const { code, message, details } = decided.rejection
        return { type: 'rejected', commandId, code, message, ...(details === undefined ? {} : { details }) }
      }
      const at = { partition: position.partition, index: position.index + 1 }
      const added = decided.events.map((event, place) => ({
        id: `${type}/${id}/${sequence + place + 1}`,
        aggregate: loaded.aggregate,
        sequence: sequence + place + 1,
        position: at,
        type: event.type,
        version: event.version,
        data: JSON.parse(event.data) as unknown,
        metadata,
        commandId,
        time: new Date(0).toISOString(),
      }))
      events.push(...added)
      const outcome: Outcome = {
        type: 'accepted',
        commandId,
        aggregate: loaded.aggregate,
        events: added,
        sequence: sequence + added.length,
        position: at,
        token: tokenOf(at),
        replicas: 1,
        replayed: false,
      }
      outcomes.set(commandId, outcome)
      wake()
      woken = new Promise(resolve => {
        wake = resolve
      })
      return outcome
    },
    async append(appends) {
      return appends.map(({ aggregate, expectedSequence, commandId, timeMs, metadata, events: given }) => {
        const { type, id } = aggregate
        const history = historyOf(type, id)
        if (expectedSequence !== history.length) return { type: 'conflict', sequence: history.length }
        const partition = partitionOf(aggregate, partitionCount)
        const position = { partition, index: headOf(partition) + 1 }
        for (const [place, event] of given.entries()) {
          const sequence = expectedSequence + place + 1
          events.push({
            id: `${type}/${id}/${sequence}`,
            aggregate,
            sequence,
            position,
            type: event.type,
            version: event.version,
            data: JSON.parse(event.data) as unknown,
            metadata: JSON.parse(metadata) as Record<string, string>,
            commandId,
            time: new Date(timeMs).toISOString(),
          })
        }
        return { type: 'appended', ...position }
      })
    },
    async loadAggregate(type, id) {
      return load(type, id)
    },
    async loadEvents(type, id, { fromSequence = 1, limit = Number.POSITIVE_INFINITY } = {}) {
      find(type)
      return historyOf(type, id)
        .filter(event => event.sequence >= fromSequence)
        .slice(0, limit)
    },
    queries: {
      parked: unknownQuery,
      retryParked: unknownQuery,
      dropParked: unknownQuery,
      sql: unknownQuery,
      list: async () => [sum()],
      rebuild: async name => findSum(name),
      async pause(name) {
        isPaused = findSum(name).name === name
        return sum()
      },
      async resume(name) {
        isPaused = findSum(name).name !== name
        return sum()
      },
    },
    async query(name, question, parameters) {
      if (name !== 'sum') {
        throw new GlynError('UNKNOWN_QUERY', `there is no query ${JSON.stringify(name)}; allowed: sum`, {
          details: { allowed: ['sum'] },
        })
      }
      if (question === 'all') return [{ id: 'a', events: events.length }]
      if (question === 'none') return null
      if (question === 'echo') return parameters
      throw new GlynError(
        'UNKNOWN_QUESTION',
        `sum has no question ${JSON.stringify(question)}; allowed: all, none, echo`,
        {
          details: { allowed: ['all', 'none', 'echo'] },
        },
      )
    },
    subscribe({ from, until, filter = {}, signal = new AbortController().signal }) {
      const seen = new Map(from === 'start' || from === 'now' ? [] : parseToken(from))
      const end = events.length
      let next = from === 'now' ? events.length : 0
      const iterate = async function* () {
        while (!signal.aborted) {
          if (until !== undefined && next >= end) return
          const event = events[next]
          if (event === undefined) {
            const aborted = new Promise<void>(resolve =>
              signal.addEventListener('abort', () => resolve(), { once: true }),
            )
            await Promise.race([woken, aborted])
            continue
          }
          next += 1
          const isNew = event.position.index > (seen.get(event.position.partition) ?? 0)
          if (isNew && passesFilter(filter, event)) yield event
        }
      }
      const handedOut = (): EventEnvelope[] => events.slice(0, next)
      return Object.assign(iterate(), {
        token: () =>
          formatToken(
            new Map([
              ...seen,
              ...handedOut().map(({ position }) => [position.partition, position.index] as const),
            ]),
          ),
      })
    },
    async publish(message) {
      const { type, data, aggregate } = checkMessage(message)
      published.push({
        type,
        data: JSON.parse(data) as unknown,
        ...(aggregate === null ? {} : { aggregate }),
      })
      return { id: `m-${published.length}`, peers: 2 }
    },
    async heads() {
      return formatToken(
        new Map(partitions().flatMap(({ id }) => (id === 0 ? [] : [[id, headOf(id)] as const]))),
      )
    },
    async *backup() {
      yield Buffer.from('no backup: this node has no log')
    },
    async subscribers({ timeoutMs = 0 } = {}) {
      const query = { name: 'sum', version: 1, state: 'running', lag: 0, lastError: null } as const
      const messages = { handled: published.length, failed: 0, dropped: 0 }
      return [
        { peerId, name: 'test', state: 'known', queries: [{ ...query, messages }], error: null },
        {
          peerId: '12D3KooWGone',
          name: 'gone',
          state: 'unknown',
          queries: [],
          error: `it did not answer within ${timeoutMs} ms`,
        },
      ]
    },
    async latestSnapshot(type, id) {
      const { aggregate, sequence, state, position } = load(type, id)
      if (sequence === 0) return null
      const facts = { time: '2026-01-31T08:00:00.000Z', definition: 'code:test', isCurrent: true, bytes: 11 }
      return { aggregate, sequence, position, state, ...facts }
    },
    async aggregateStats(type, id) {
      const { aggregate, sequence, position } = load(type, id)
      const history = historyOf(type, id)
      return {
        aggregate,
        position,
        leader: { peerId, name: 'test' },
        sequence,
        events: sequence,
        bytes: JSON.stringify(history.map(({ data }) => data)).length,
        firstTime: history[0]?.time ?? null,
        lastTime: history.at(-1)?.time ?? null,
        snapshot: null,
        pending: 0,
        quarantined: null,
      }
    },
    async rebuildSnapshots(type, { id, signal, onProgress } = {}) {
      signal?.throwIfAborted()
      find(type)
      const ids = [...new Set(events.filter(event => event.aggregate.type === type).map(e => e.aggregate.id))]
      const chosen = id === undefined ? ids : [id]
      for (const [done, each] of chosen.entries())
        onProgress?.({ done, total: chosen.length, current: { aggregate: { type, id: each }, sequence: 1 } })
      const difference = {
        where: 'snapshot',
        sequence: 1,
        found: '{"total":1}',
        replayed: '{"total":2}',
      } as const
      const wrong = chosen
        .filter(each => each === 'wrong')
        .map(each => ({ aggregate: { type, id: each }, ...difference }))
      const counts = { rebuilt: chosen.length, failed: 0, busy: 0, failures: [] }
      return { ...counts, differences: wrong, differencesTotal: wrong.length }
    },
    async systemStats() {
      const ofTypes = Map.groupBy(events, event => event.aggregate.type)
      return {
        node: { peerId, name: 'test', version: '0.0.0', uptimeSeconds: 1, memoryBytes: 1 },
        store: {
          location: 'memory',
          partitions: partitionCount,
          events: events.length,
          entries: events.length,
          bytes: 1,
          commits: events.length,
          aggregates: [...ofTypes].map(([type, all]) => ({
            type,
            aggregates: new Set(all.map(event => event.aggregate.id)).size,
            events: all.length,
            kinds: [{ type: all[0]?.type ?? '', version: 1, events: all.length }],
          })),
        },
        commands: { accepted: executed.length, replayed: 0, rejected: 0, failed: 0, pending: 0 },
        queries: { total: 1, running: 1, lagMax: 0, answered: 0, failed: 0 },
        mesh: { members: 1, connected: 0, leads: partitionCount },
        quarantined: 0,
      }
    },
    async status(): Promise<NodeStatus> {
      return {
        node: {
          peerId,
          name: 'test',
          version: '0.0.0',
          addresses: this.addresses(),
          dataDirectory: null,
          uptimeSeconds: 1,
          state: 'ready',
        },
        store: { type: 'local', location: 'memory' },
        cluster: {
          id: this.clusterId,
          topic: 'events',
          scope: 'default',
          partitions: partitionCount,
          replicas: 3,
        },
        members: [
          {
            peerId,
            name: 'test',
            state: 'active',
            role: 'full',
            addresses: this.addresses(),
            reachable: true,
            unreachableSince: null,
            lastWords: null,
          },
          {
            peerId: '12D3KooWOld',
            name: 'old',
            state: 'removed',
            role: 'full',
            addresses: [],
            reachable: false,
            unreachableSince: null,
            lastWords: null,
          },
        ],
        partitions: partitions(),
        queries: [sum()],
        reactions: [],
        quarantined: { count: 0, first: [] },
        problems: [],
      }
    },
    async placement() {
      return {
        partitions: partitions().map(({ id, leader, voters, learners }) => ({
          id,
          leader,
          voters,
          learners,
          wanted: voters,
        })),
        nodes: [
          {
            peerId,
            name: 'test',
            leads: partitionCount + 1,
            votes: partitionCount + 1,
            learns: 0,
            wantedLeads: partitionCount + 1,
            wantedReplicas: partitionCount + 1,
          },
        ],
        moves: [],
        asWanted: true,
      }
    },
    async explain(type, id) {
      const { aggregate, position } = load(type, id)
      const { partition, index } = position
      return {
        aggregate,
        partition,
        partitions: partitionCount,
        leader: { peerId, name: 'test', isPreferred: true },
        term: 1,
        commitIndex: index,
        lastIndex: index,
        replicas: [
          {
            peerId,
            name: 'test',
            seat: 'voter',
            isLeader: true,
            isWanted: true,
            isReachable: true,
            unreachableSince: null,
            matchIndex: index,
            behind: 0,
            isActive: true,
          },
        ],
        ranking: [{ rank: 1, peerId, name: 'test', isChosen: true }],
        why: ['There is no other node.'],
        changes: [
          {
            time: new Date(0).toISOString(),
            peerId,
            name: 'test',
            type: 'elected',
            role: 'leader',
            term: 1,
            reason: 'elected in term 1: the only voter',
          },
        ],
        pending: { commands: 1, oldest: [{ aggregate, commandId: 'c-1', index: index + 1 }], reads: 0 },
        queries: [{ peerId, node: 'test', name: 'sum', state: 'running', position: index, behind: 0 }],
        quarantined: null,
        problems: [],
      }
    },
    async forget(subject, options = {}) {
      forgotten.push({ subject, options })
      return memoryOf(subject)
    },
    async forgetStatus(subject) {
      return memoryOf(subject)
    },
    async removeMember(member) {
      if (member !== peerId) throw new GlynError('ENTITY_NOT_FOUND', `there is no member ${member}`)
    },
    async leave({ onProgress } = {}) {
      for (const replicas of [2, 1, 0])
        onProgress?.({ replicas, leads: replicas, total: 2, waitsFor: replicas === 1 ? ['somebody'] : [] })
      closed = true
    },
    async cancelLeave() {
      throw new GlynError('UNAVAILABLE', 'there is no controller here')
    },
    async close() {
      closed = true
    },
  }
}

/** Counts up; refuses to go beyond 1000. `AddTwice` yields two events in one entry. */
export const counter: AnyAggregate = {
  type: 'counter',
  emptyState: { total: 0 },
  // Known by name, any data.
  commands: { Add: undefined, AddTwice: undefined },
  handle(state: { total: number }, command: Command<string, { by: number }>) {
    if (state.total + command.data.by > 1000) {
      return { rejected: true, code: 'too_much', message: 'at most 1000', details: { total: state.total } }
    }
    const event = { type: 'Added', data: { by: command.data.by } }
    return command.type === 'Add' ? event : [event, event]
  },
  apply: (state: { total: number }, event: DomainEvent<string, { by: number }>) => ({
    total: state.total + event.data.by,
  }),
}
