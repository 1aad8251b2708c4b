// One engine and its aggregate host: a partition with a single voter, on a store whose writes a test can hold up.
import { type AnyAggregate, defineAggregate, reject } from '../../src/core/aggregate.ts'
import type { Command, Metadata } from '../../src/core/command.ts'
import type { DomainEvent } from '../../src/core/event.ts'
import { type LogFields, silentLog } from '../../src/core/log.ts'
import type { Accepted, Outcome } from '../../src/core/outcome.ts'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import {
  type AggregateHost,
  type AggregateHostInit,
  createAggregateHost,
  type LoadedState,
} from '../../src/partition/aggregate-host.ts'
import { createRaftEngine, type RaftEngine } from '../../src/partition/raft-engine.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import type { LocalStore } from '../../src/store/store.ts'
import { eventually, testTiming } from '../node/memory-cluster.ts'

export const partition = 1

export interface HeldStore extends LocalStore {
  /** Writes wait from now on, in their order. */
  hold(): void
  release(): void
  /** Every write from now on fails with this. */
  fail(error: Error): void
}

export function holdable(store: LocalStore): HeldStore {
  let gate: Promise<void> = Promise.resolve()
  let open = (): void => {}
  let failure: Error | undefined
  return {
    ...store,
    async write(batch) {
      await gate
      if (failure !== undefined) throw failure
      await store.write(batch)
    },
    hold() {
      gate = new Promise(resolve => {
        open = resolve
      })
    },
    release: () => open(),
    fail(error) {
      failure = error
    },
  }
}

/** `Add { by }`, `Look {}` and others; the total never goes below zero. `applied` counts calls of `apply`. */
export function counterAggregate(
  options: { readonly snapshotEvery?: number } = {},
): AnyAggregate & { readonly applied: { count: number } } {
  const applied = { count: 0 }
  const definition = defineAggregate<{ total: number }, Command, DomainEvent<'Added', { by: number }>>({
    type: 'counter',
    emptyState: { total: 0 },
    ...options,
    handle(state, command) {
      if (command.type === 'Look') return []
      if (command.type === 'Throw') throw new Error('out of luck')
      if (command.type === 'AddTooMuch') return Array.from({ length: 3 }, () => added(0, 'x'.repeat(900_000)))
      const { by } = command.data as { by: number }
      if (command.type === 'AddTwice') return [added(by), added(by)]
      return state.total + by < 0
        ? reject('below_zero', `total is ${state.total}`, { total: state.total })
        : added(by)
    },
    apply(state, event) {
      applied.count += 1
      return { total: state.total + event.data.by }
    },
  })
  return { ...definition, applied }
}

const added = (by: number, note?: string): DomainEvent<'Added', { by: number }> => ({
  type: 'Added',
  data: { by, ...(note === undefined ? {} : { note }) },
})

export interface SingleHost {
  readonly host: AggregateHost
  readonly engine: RaftEngine
  readonly store: HeldStore
  readonly failures: Error[]
  readonly logged: { readonly fields: LogFields; readonly message: string }[]
  execute(
    id: string,
    command: Command,
    options?: { readonly commandId?: string; readonly metadata?: Metadata },
  ): Promise<Outcome>
  /** Throws when it is rejected. */
  add(id: string, by: number, commandId?: string): Promise<Accepted>
  load(id: string): Promise<LoadedState>
  stop(): Promise<void>
}

export async function startSingleHost(
  options: {
    readonly store?: HeldStore
    readonly aggregate?: AnyAggregate
    readonly definitionId?: string
    readonly cache?: AggregateHostInit['cache']
    readonly pendingMax?: number
    readonly pendingBytesMax?: number
  } = {},
): Promise<SingleHost> {
  const { store = holdable(createMemoryStore()), aggregate = counterAggregate() } = options
  const mesh = createMemoryNetwork({ clock: systemClock }).createMesh({ peerId: 'solo' })
  await mesh.start()
  const failures: Error[] = []
  const logged: SingleHost['logged'] = []
  const warn = (fields: LogFields, message: string): void => void logged.push({ fields, message })
  const engine = createRaftEngine({
    peerId: mesh.peerId,
    store,
    mesh,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
    timing: testTiming,
    clusterId: () => 'c1',
    isPartition: () => true,
    onFatal: error => failures.push(error),
    onStoreFailed: error => failures.push(error),
    listenerOf: number => ({
      committed: range => host.committed(number, range),
      roleChanged: change => host.roleChanged(number, change),
      read: read => host.read(number, read),
    }),
  })
  const host = createAggregateHost({
    engine,
    store,
    clock: systemClock,
    log: { ...silentLog, warn, error: warn },
    aggregates: new Map([
      [aggregate.type, { definition: aggregate, definitionId: options.definitionId ?? 'first' }],
    ]),
    ...(options.cache === undefined ? {} : { cache: options.cache }),
    ...(options.pendingMax === undefined ? {} : { pendingMax: options.pendingMax }),
    ...(options.pendingBytesMax === undefined ? {} : { pendingBytesMax: options.pendingBytesMax }),
  })
  const isNew = store.recover().length === 0
  engine.start()
  if (isNew) {
    await engine.bootstrap([{ partition, configuration: { voters: [engine.id], learners: [] } }], {})
  }
  await eventually(() => engine.status(partition)?.canServe === true, 'the only voter leads')
  let commands = 0
  const run = Math.random()

  const execute: SingleHost['execute'] = (id, command, { commandId, metadata = {} } = {}) => {
    commands += 1
    const aggregateKey = { type: aggregate.type, id }
    return host.execute(partition, {
      aggregate: aggregateKey,
      command,
      commandId: commandId ?? `${run}-${commands}`,
      metadata,
    })
  }
  return {
    host,
    engine,
    store,
    failures,
    logged,
    execute,
    async add(id, by, commandId) {
      const outcome = await execute(
        id,
        { type: 'Add', data: { by } },
        commandId === undefined ? {} : { commandId },
      )
      if (outcome.type === 'rejected') throw new Error(`rejected: ${outcome.message}`)
      return outcome
    },
    load: id => host.load(partition, { type: aggregate.type, id }),
    async stop() {
      await engine.stop()
      await mesh.stop()
    },
  }
}
