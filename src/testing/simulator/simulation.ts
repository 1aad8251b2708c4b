// One seed: a cluster is formed, then anything may break while clients use it and everything is checked; then all is healed,
// and within a stated time the cluster must be whole again and everyone answered.
import type { AnyAggregate } from '../../core/aggregate.ts'
import { keptOutcomeAggregate } from '../../partition/kept-outcome.ts'
import type { RaftTiming } from '../../partition/raft-engine.ts'
import type { AnyQuery } from '../../query/define-query.ts'
import { checkpointAggregate } from '../../reaction/checkpoint-aggregate.ts'
import type { AnyHandler } from '../../reaction/define-handler.ts'
import type { AnyProcess } from '../../reaction/define-process.ts'
import { processAggregate } from '../../reaction/process-aggregate.ts'
import { type AggregateHistory, Canon } from './canon.ts'
import { createClient, type SimulatedClient } from './client.ts'
import { type ConvergenceInit, whatDiffers, whatIsMissing } from './convergence.ts'
import { FeedReader, watchQuery } from './event-watch.ts'
import { startFeedReader } from './feed-reader.ts'
import { type Invariant, statesOf } from './invariant.ts'
import { Ledger } from './ledger.ts'
import { createNemesis, type FaultKind } from './nemesis.ts'
import { startProber } from './prober.ts'
import { RaftWatch } from './raft-watch.ts'
import { ReactionWatch } from './reaction-watch.ts'
import { retryParked } from './retry-parked.ts'
import type { RunningNode } from './running-node.ts'
import type { Dice } from './seeded-random.ts'
import { createSimulatedNetwork } from './simulated-network.ts'
import { createSimulatedNode, type SimulatedNode, type SimulatedWorld } from './simulated-node.ts'
import { type About, createStory } from './story.ts'
import { createVirtualTime } from './virtual-time.ts'

/** What the seed and the options came to. */
export interface SimulationPlan {
  readonly seed: number
  readonly nodes: number
  /** Of them, hold no replicas. */
  readonly queryNodes: number
  readonly nodesMax: number
  readonly partitions: number
  readonly replicas: number
  readonly clients: number
  readonly readers: number
  /** Virtual time in which things break. */
  readonly faultsMs: number
  /** Virtual time between two faults, on average. */
  readonly paceMs: number
  readonly kinds: readonly FaultKind[]
  /** How often a node crashes right after it was elected, 0 to 1. */
  readonly crashElected: number
  readonly timing: RaftTiming
  readonly clockDriftMax: number
  readonly actorsMax: number
  /** The handler and the process that the simulator brings along run too. */
  readonly reacts: boolean
}

export interface SimulationInit {
  readonly plan: SimulationPlan
  readonly dice: Dice
  readonly aggregates: readonly AnyAggregate[]
  readonly queries: readonly AnyQuery[]
  readonly handlers: readonly AnyHandler[]
  readonly processes: readonly AnyProcess[]
  /** Called by every client again and again while things break. */
  readonly workload: (client: SimulatedClient) => Promise<void>
  /** Asked after every commit of a command, and when all is over. Throws, or says, what is wrong. */
  readonly invariants: readonly Invariant[]
  readonly onLine?: ((line: string) => void) | undefined
}

/** What was found. */
export interface SimulationReport {
  readonly ok: boolean
  /** What went wrong, in one line. */
  readonly violation: string | null
  /** How it came to it; empty when nothing went wrong. */
  readonly story: readonly string[]
  /** The same for the same run. */
  readonly traceHash: string
  readonly virtualMs: number
  readonly events: number
  readonly committed: number
  readonly accepted: number
  /** Commands of processes that had their outcome. */
  readonly reacted: number
  readonly timersFired: number
}

const formingMsMax = 60_000
/** Within so much virtual time after healing everything must be whole: two of the longest backoffs there are. */
export const convergenceMsMax = 150_000
const lookMs = 100
/** More events at one instant than any work makes. */
const eventsAtOnceMax = 100_000
const removeTimeoutMs = 3000
const removeAgainMs = 500

export async function runSimulation(init: SimulationInit): Promise<SimulationReport> {
  const { plan, dice } = init
  const time = createVirtualTime()
  const story = createStory({ now: time.now, onLine: init.onLine })
  const aggregates = new Map(
    [...init.aggregates, ...ownAggregates(init.processes)].map(definition => [definition.type, definition]),
  )
  const nodes: SimulatedNode[] = []
  const lost = new Set<SimulatedNode>()
  let violation: Violation | null = null
  let pluginsThrow = 0
  let isOver = false

  const violated = (text: string, about: About = {}): void => {
    if (violation !== null) return
    story.tell(text, about)
    violation = { text, about, story: story.linesAbout(about) }
  }
  /** Runs until it is over, something is wrong, or time stands still. */
  const runUntil = (isReached: () => boolean): Promise<boolean> => {
    let atMs = time.now()
    let here = 0
    return time.run(() => {
      here = time.now() === atMs ? here + 1 : 0
      atMs = time.now()
      if (here > eventsAtOnceMax) violated(`time stands still: ${here} events and no end`)
      return violation !== null || isReached()
    })
  }
  const network = createSimulatedNetwork({ time, dice: dice.apart('network') })
  const canon = new Canon({
    aggregates,
    wasAsked: (aggregate, commandId) =>
      ledger.wasAsked(aggregate, commandId) || reactions.wasDecided(aggregate, commandId),
    violated,
    onCommand(history, rows) {
      reactions.committed(rows)
      checkInvariants(history)
    },
  })
  const watch = new RaftWatch({ canon, story, violated, elected: peerId => nemesis.elected(peerId) })
  const ledger = new Ledger({
    canon,
    aggregates,
    disk: storageId => nodes.find(node => node.disk.storageId === storageId)?.disk.durable,
    disks: () => nodes.map(node => node.disk.durable),
    configurationsFrom: (partition, index) => watch.configurationsFrom(partition, index),
    violated,
  })
  const pluginDice = dice.apart('plugins')
  const mayThrow = (): boolean => pluginsThrow > 0 && pluginDice.chance(pluginsThrow)
  const reactions = new ReactionWatch({
    canon: () => canon,
    handlers: init.handlers,
    processes: init.processes,
    violated,
    mayThrow,
  })
  const world: SimulatedWorld = {
    time,
    dice: dice.apart('nodes'),
    story,
    network: network.mesh,
    watch,
    violated,
    aggregates: init.aggregates.map(definition => flaky(definition, mayThrow)),
    queriesOf: peerId =>
      init.queries.map(query => watchQuery(query, { canon, violated, mayThrow, on: peerId })),
    handlersOf: peerId => reactions.handlers(peerId),
    processes: reactions.processes(),
    settings: {
      topic: 'simulation',
      scope: 'simulation',
      partitions: plan.partitions,
      replicas: plan.replicas,
    },
    timing: plan.timing,
    clockDriftMax: plan.clockDriftMax,
    actorsMax: plan.actorsMax,
    gossipDelaysMs: network.gossipDelaysMs,
  }
  const present = (): readonly SimulatedNode[] => nodes.filter(node => !lost.has(node) && !node.isGone)
  const ready = (): readonly SimulatedNode[] => present().filter(node => node.running !== undefined)
  const addNode = (role: 'full' | 'query'): SimulatedNode => {
    const node = createSimulatedNode(world, { peerId: `node-${nodes.length + 1}`, role })
    nodes.push(node)
    return node
  }
  const start = (node: SimulatedNode): void => {
    if (lost.has(node)) return
    const contacts = present().filter(other => other !== node)
    node.start(node === nodes[0] ? [] : contacts.map(({ peerId }) => `/memory/${peerId}`))
  }

  function checkInvariants(_history: AggregateHistory | null): void {
    for (const { name, check } of init.invariants) {
      const wrong = check({ states: type => statesOf(canon, type), isOver })
      if (wrong !== null) violated(`${name}: ${wrong}`)
    }
  }

  const readers = Array.from({ length: plan.readers }, (_, place) => {
    const reader = new FeedReader(`reader ${place + 1} of the feed`, { canon, violated, mayThrow })
    return reader
  })
  const converging = (): ConvergenceInit => ({
    canon,
    partitions: plan.partitions,
    nodes: present(),
    gone: nodes.filter(node => lost.has(node) || node.isGone).map(({ peerId }) => peerId),
    readers,
    queries: init.queries,
    aggregates,
    reactions,
  })

  /** Runs until there is nothing missing any more; a violation when that takes too long. */
  async function converge(withinMs: number, what: string, isDone: () => string | null): Promise<void> {
    const untilMs = time.now() + withinMs
    let nextLookMs = 0
    let missing: ReturnType<typeof whatIsMissing> = null
    await runUntil(() => {
      if (time.now() < nextLookMs) return false
      nextLookMs = time.now() + lookMs
      restartFailed()
      const undone = isDone()
      missing = undone === null ? whatIsMissing(converging()) : { text: undone, about: {} }
      if (missing === null) return true
      if (time.now() > untilMs)
        violated(`${what}, not within ${withinMs / 1000} s: ${missing.text}`, missing.about)
      return false
    })
  }

  /** As a supervisor does. */
  function restartFailed(): void {
    for (const node of present()) if (node.state === 'down' || node.state === 'failed') start(node)
  }

  /** As a person does who looks at the members now and then: what is lost and still listed is removed. */
  function removeLost(node: SimulatedNode): void {
    const { peerId } = node
    const again = (): void => void time.after(removeAgainMs, () => removeLost(node))
    const lists = (running: RunningNode): boolean => {
      const known = running.parts.state().nodes.get(peerId)
      return known !== undefined && known.state !== 'removed'
    }
    const by = ready().find(({ running }) => running !== undefined && lists(running))
    if (by === undefined) {
      again()
      return
    }
    by.call(running =>
      running.parts.controller.submit({ type: 'remove-node', peerId }, { timeoutMs: removeTimeoutMs }),
    ).then(
      () => {
        story.tell(`${peerId} is removed from the cluster`)
        again()
      },
      (error: unknown) => {
        story.tell(`${peerId} cannot be removed yet: ${String(error)}`)
        again()
      },
    )
  }

  /** Before and after it, each event is handled or parked; after it, nothing is parked any more. */
  async function handleParked(): Promise<void> {
    const differs = whatDiffers(converging())
    if (differs !== null) return violated(differs.text, differs.about)
    let isDone = !init.queries.some(({ onError }) => onError === 'park')
    if (isDone) return
    void retryParked({ nodes: ready(), queries: init.queries, violated, tell: story.tell }).then(() => {
      isDone = true
    })
    await runUntil(() => isDone)
  }

  const nemesis = createNemesis({
    time,
    dice: dice.apart('faults'),
    story,
    network,
    nodes: present,
    addNode,
    start,
    lose(node) {
      node.crash()
      lost.add(node)
      removeLost(node)
    },
    nodesMax: plan.nodesMax,
    setPluginsThrow(chance) {
      pluginsThrow = chance
    },
    kinds: plan.kinds,
    paceMs: plan.paceMs,
    crashElected: plan.crashElected,
  })

  const clients = Array.from({ length: plan.clients }, (_, number) =>
    createClient({
      number,
      dice: dice.apart(`client ${number}`),
      time,
      story,
      ledger,
      nodes: ready,
      violated,
    }),
  )
  let working = clients.length
  let isEnding = false
  async function work(client: (typeof clients)[number]): Promise<void> {
    const maybeComplain = async (action: () => Promise<void>): Promise<void> => {
      try {
        await action()
      } catch (error) {
        client.complain(error)
      }
    }
    while (!isEnding) {
      await maybeComplain(() => init.workload(client))
      await client.pause(client.dice.between(1, 60))
    }
    await maybeComplain(() => client.settle())
    working -= 1
  }

  try {
    for (let place = 0; place < plan.nodes; place += 1)
      start(addNode(place < plan.nodes - plan.queryNodes ? 'full' : 'query'))
    await converge(formingMsMax, 'the cluster forms', () => null)
    for (const [place, reader] of readers.entries()) {
      startFeedReader({ reader, time, dice: dice.apart(`reader ${place}`), nodes: ready, violated })
    }
    for (const client of clients) void work(client)
    startProber({
      time,
      dice: dice.apart('prober'),
      canon,
      ledger,
      nodes: ready,
      violated,
      isOver: () => isEnding,
    })
    nemesis.start()
    const endMs = time.now() + plan.faultsMs
    await runUntil(() => time.now() >= endMs)
    isEnding = true
    nemesis.heal()
    if (violation === null) story.tell('everything is healed')
    await converge(convergenceMsMax, 'the healed cluster becomes whole', () =>
      working === 0 ? null : `${working} clients wait for an answer`,
    )
    if (violation === null) await handleParked()
    if (violation === null) {
      const differs = whatDiffers(converging())
      if (differs !== null) violated(differs.text, differs.about)
      isOver = true
      checkInvariants(null)
    }
  } finally {
    for (const node of nodes) node.crash()
  }
  const found = violation as Violation | null
  return {
    ok: found === null,
    violation: found?.text ?? null,
    story: found?.story ?? [],
    traceHash: story.hash(),
    virtualMs: Math.round(time.now()),
    events: time.count(),
    committed: Array.from({ length: plan.partitions }, (_, place) => canon.log(place + 1).length).reduce(
      (a, b) => a + b,
      0,
    ),
    accepted: ledger.acceptedCount,
    reacted: reactions.commands,
    timersFired: reactions.fired,
  }
}

/** What the nodes host for the processes. */
const ownAggregates = (processes: readonly AnyProcess[]): readonly AnyAggregate[] => [
  checkpointAggregate,
  keptOutcomeAggregate,
  ...processes.map(processAggregate),
]

interface Violation {
  readonly text: string
  readonly about: About
  readonly story: readonly string[]
}

/** The same aggregate, whose code throws when the dice say so. */
const flaky = (definition: AnyAggregate, mayThrow: () => boolean): AnyAggregate => ({
  ...definition,
  handle(state: unknown, command: Parameters<AnyAggregate['handle']>[1]) {
    if (mayThrow()) throw new Error('the simulator lets the aggregate throw')
    return definition.handle(state, command)
  },
})
