// Hosts that believe to lead, on one memory store whose answers a test can hold up, lose or delay.
import type { AnyAggregate } from '../../src/core/aggregate.ts'
import type { Command } from '../../src/core/command.ts'
import { GlynError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Accepted, Outcome } from '../../src/core/outcome.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import type { AggregateHost } from '../../src/partition/aggregate-host.ts'
import { createSharedAggregateHost } from '../../src/partition/shared-aggregate-host.ts'
import { createMemorySharedStore, createSharedMemory } from '../../src/store/memory/memory-shared-store.ts'
import type { Append, AppendOptions, SharedStore } from '../../src/store/shared-store.ts'
import { counterAggregate, partition } from './single-host.ts'

export interface FaultyStore extends SharedStore {
  /** Every call of `append` so far: how many each had. */
  readonly calls: number[]
  /** Before each append: may wait, or throw. */
  before: (appends: readonly Append[], options?: AppendOptions) => Promise<void>
  /** After each append, which is written: may wait, or throw. */
  after: (appends: readonly Append[], options?: AppendOptions) => Promise<void>
  reads: number
}

export function faulty(store: SharedStore): FaultyStore {
  const self: FaultyStore = {
    ...store,
    calls: [],
    reads: 0,
    before: async () => {},
    after: async () => {},
    async append(appends, options) {
      self.calls.push(appends.length)
      await self.before(appends, options)
      const results = await store.append(appends, options)
      await self.after(appends, options)
      return results
    },
    async sequences(aggregates) {
      self.reads += 1
      return await store.sequences(aggregates)
    },
  }
  return self
}

export const lost = (): GlynError => new GlynError('UNAVAILABLE', 'the connection was lost')

export interface SharedHostUnderTest {
  readonly host: AggregateHost
  readonly store: FaultyStore
  readonly appended: number[]
  execute(
    id: string,
    command: Command,
    options?: { commandId?: string; keepsOutcome?: boolean },
  ): Promise<Outcome>
  add(id: string, by: number, commandId?: string): Promise<Accepted>
  load(id: string): Promise<{ readonly state: unknown; readonly sequence: number }>
  lead(term: number): void
  follow(term: number): void
}

export async function openMemory(memory = createSharedMemory()): Promise<FaultyStore> {
  const store = faulty(createMemorySharedStore({ memory }))
  await store.open({ scope: 'test', partitions: 4 })
  return store
}

export async function startSharedHost(
  options: {
    readonly store?: FaultyStore
    readonly aggregate?: AnyAggregate
    readonly definitionId?: string
    readonly pendingMax?: number
    readonly term?: number
    readonly cache?: { readonly actorsMax?: number }
  } = {},
): Promise<SharedHostUnderTest> {
  const { store = await openMemory(), aggregate = counterAggregate(), term = 1 } = options
  const appended: number[] = []
  const host = createSharedAggregateHost({
    store,
    clock: systemClock,
    log: silentLog,
    aggregates: new Map([
      [aggregate.type, { definition: aggregate, definitionId: options.definitionId ?? 'first' }],
    ]),
    statusOf: () => undefined,
    headOf: () => appended.at(-1) ?? 0,
    onAppended: (_, index) => void appended.push(index),
    ...(options.cache === undefined ? {} : { cache: options.cache }),
    ...(options.pendingMax === undefined ? {} : { pendingMax: options.pendingMax }),
  })
  const reason = 'as the test says'
  const lead = (at: number): void =>
    host.roleChanged(partition, { role: 'leader', term: at, leader: null, canServe: true, reason } as never)
  lead(term)
  let commands = 0
  const run = Math.random()
  const execute: SharedHostUnderTest['execute'] = (id, command, { commandId, keepsOutcome } = {}) => {
    commands += 1
    return host.execute(partition, {
      aggregate: { type: aggregate.type, id },
      command,
      commandId: commandId ?? `${run}-${commands}`,
      metadata: {},
      ...(keepsOutcome === undefined ? {} : { keepsOutcome }),
    })
  }
  return {
    host,
    store,
    appended,
    execute,
    async add(id, by, commandId) {
      const outcome = await execute(
        id,
        { type: 'Add', data: { by } },
        commandId === undefined ? {} : { commandId },
      )
      if (outcome.type === 'accepted') return outcome
      throw new Error(`rejected: ${outcome.message}`)
    },
    load: id => host.load(partition, { type: aggregate.type, id }),
    lead,
    follow: at =>
      host.roleChanged(partition, {
        role: 'follower',
        term: at,
        leader: null,
        canServe: false,
        reason,
      } as never),
  }
}
