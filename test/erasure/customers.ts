// Customers with names and cities, which are about them, and visits, which are about nobody. And nodes that keep them.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Test } from 'tap'
import { defineAggregate } from '../../src/core/aggregate.ts'
import type { Command } from '../../src/core/command.ts'
import type { DomainEvent } from '../../src/core/event.ts'
import type { Accepted } from '../../src/core/outcome.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import type { NodeOptions } from '../../src/node/node-options.ts'
import { testTiming } from '../node/memory-cluster.ts'
import { directoryOf } from '../support/directory-of.ts'

type CustomerEvent =
  | DomainEvent<'Registered', { readonly name: string }>
  | DomainEvent<'Moved', { readonly city: string }>
  | DomainEvent<'Visited', { readonly page: string }>

interface Customer {
  readonly name: string | null
  readonly city: string | null
  readonly visits: number
  readonly forgotten: number
}

export const customer = defineAggregate<Customer, Command, CustomerEvent>({
  type: 'customer',
  emptyState: { name: null, city: null, visits: 0, forgotten: 0 },
  snapshotEvery: 3,
  subject: (event, id) => (event.type === 'Visited' ? undefined : `person-${id}`),
  handle(_state, { type, data }) {
    if (type === 'Register') return { type: 'Registered', data: data as { name: string } }
    if (type === 'Move') return { type: 'Moved', data: data as { city: string } }
    return { type: 'Visited', data: data as { page: string } }
  },
  apply(state, event) {
    if (event.type === 'Registered') return { ...state, name: event.data.name }
    if (event.type === 'Moved') return { ...state, city: event.data.city }
    return { ...state, visits: state.visits + 1 }
  },
  forgotten: state => ({ ...state, forgotten: state.forgotten + 1 }),
})

export async function tell(
  node: NodeApi,
  id: string,
  type: string,
  data: object,
  commandId?: string,
): Promise<Accepted> {
  const outcome = await node.execute(
    'customer',
    id,
    { type, data },
    { timeoutMs: 60_000, ...(commandId === undefined ? {} : { commandId }) },
  )
  if (outcome.type === 'rejected') throw new Error(outcome.message)
  return outcome
}

export interface Keeper {
  readonly directory: string
  readonly node: NodeApi
  close(): Promise<void>
  reopen(): Promise<void>
}

/** Nodes of one cluster, with libp2p and disk, in this process. */
export async function startKeepers(
  t: Test,
  count: number,
  options: Partial<NodeOptions> = {},
): Promise<readonly Keeper[]> {
  const folder = directoryOf(t)
  const keepers: Keeper[] = []
  for (let place = 0; place < count; place += 1) {
    const directory = join(folder, `node-${place}`)
    mkdirSync(directory)
    const bootstrap = [...(keepers[0]?.node.addresses() ?? [])]
    const open = (): Promise<NodeApi> =>
      createNode({
        topic: 'customers',
        dataDirectory: directory,
        partitions: 3,
        name: `node-${place}`,
        aggregates: [customer],
        timing: testTiming,
        // Whoever comes back finds one that stayed.
        bootstrap: keepers.length > 1 ? [...(keepers[0]?.node.addresses() ?? [])] : bootstrap,
        ...options,
      })
    let node = await open()
    keepers.push({
      directory,
      get node() {
        return node
      },
      close: () => node.close(),
      async reopen() {
        node = await open()
      },
    })
    t.teardown(() => node.close())
  }
  return keepers
}

/** Files, by their path below the directory, in which these bytes are. */
export function filesWith(directory: string, bytes: string | Buffer): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(name => {
    const path = join(directory, name)
    return statSync(path).isFile() && readFileSync(path).includes(bytes)
  })
}

/** The keys of a subject that rest in a directory, and how many there are of others. */
export function keysIn(
  directory: string,
  reference: string,
): { readonly own: readonly Buffer[]; readonly others: number } {
  const path = join(directory, 'keys.bin')
  // The files come with the first key, and its bytes after the tables: before that there is none.
  if (!existsSync(path) || statSync(path).size === 0) return { own: [], others: 0 }
  const database = new Database(join(directory, 'keys.db'), { readonly: true })
  const slots = database.prepare('select slot, subject from keys where slot is not null').all() as {
    readonly slot: number
    readonly subject: string
  }[]
  database.close()
  const bytes = readFileSync(path)
  const own = slots.filter(({ subject }) => subject === reference)
  return {
    own: own.map(({ slot }) => Buffer.from(bytes.subarray(32 * slot, 32 * slot + 32))),
    others: slots.length - own.length,
  }
}
