// What the cluster has committed, as the simulator knows it: one log per partition, built from what the replicas are told.
// Everything else is measured against it.
import type { AnyAggregate } from '../../core/aggregate.ts'
import type { AggregateKey } from '../../core/command.ts'
import { applyEvent } from '../../core/decide.ts'
import { controllerPartition } from '../../core/partition-of.ts'
import { type CommandRecord, type StoredEvent, toStoredEvents } from '../../core/record.ts'
import { isSystemType } from '../../core/system-types.ts'
import { type Configuration, decodeConfiguration } from '../../raft/configuration.ts'
import type { Entry } from '../../raft/entry.ts'
import { decodeRecord } from '../../store/record-codec.ts'
import type { About } from './story.ts'

export interface CanonicalEntry {
  readonly entry: Entry
  /** At or above the term in which it was committed. Never falls along the log. */
  readonly term: number
  readonly record: CommandRecord | null
}

/** One aggregate, as its committed events made it. */
export interface AggregateHistory {
  readonly key: AggregateKey
  readonly partition: number
  readonly events: StoredEvent[]
  /** `states[n]` is the state after n events. */
  readonly states: unknown[]
  /** Index of the entry, by command id. */
  readonly commands: Map<string, number>
}

export interface CanonInit {
  readonly aggregates: ReadonlyMap<string, AnyAggregate>
  /** True for a command that some client, or a process, has sent to this aggregate. */
  readonly wasAsked: (aggregate: AggregateKey, commandId: string) => boolean
  readonly violated: (text: string, about: About) => void
  /** A command has been committed. */
  readonly onCommand: (history: AggregateHistory, rows: readonly StoredEvent[]) => void
}

export class Canon {
  readonly #init: CanonInit
  readonly #logs = new Map<number, CanonicalEntry[]>()
  readonly #events = new Map<number, StoredEvent[]>()
  readonly #configurations = new Map<
    number,
    { readonly index: number; readonly configuration: Configuration }[]
  >()
  readonly #aggregates = new Map<string, AggregateHistory>()

  constructor(init: CanonInit) {
    this.#init = init
  }

  log(partition: number): readonly CanonicalEntry[] {
    return this.#logs.get(partition) ?? []
  }

  /** All committed events of a partition that readers are shown, in order. */
  events(partition: number): readonly StoredEvent[] {
    return this.#events.get(partition) ?? []
  }

  configurations(
    partition: number,
  ): readonly { readonly index: number; readonly configuration: Configuration }[] {
    return this.#configurations.get(partition) ?? []
  }

  aggregates(): Iterable<AggregateHistory> {
    return this.#aggregates.values()
  }

  aggregate(key: AggregateKey): AggregateHistory | undefined {
    return this.#aggregates.get(nameOf(key))
  }

  /** A replica was told that these entries are committed, in a term that it has reached. */
  committed(
    partition: number,
    entries: readonly Entry[],
    facts: { readonly term: number; readonly by: string },
  ): void {
    let log = this.#logs.get(partition)
    if (log === undefined) {
      log = []
      this.#logs.set(partition, log)
    }
    for (const entry of entries) {
      const known = log[entry.index - 1]
      if (known !== undefined) {
        if (sameBytes(known.entry.hash, entry.hash)) continue
        const text = `entry ${entry.index} was committed in term ${known.entry.term}, and ${facts.by} was told that another one of term ${entry.term} is`
        this.#init.violated(text, { partition })
        return
      }
      if (entry.index !== log.length + 1) {
        const text = `${facts.by} was told that ${entry.index} is committed before anyone was told of ${log.length + 1}`
        this.#init.violated(text, { partition })
        return
      }
      this.#add(partition, log, entry, facts.term)
    }
  }

  #add(partition: number, log: CanonicalEntry[], entry: Entry, term: number): void {
    const record = entry.kind === 'command' ? decodeRecord(entry.payload) : null
    log.push({ entry, record, term: Math.max(term, log.at(-1)?.term ?? 0) })
    if (entry.kind === 'config') this.#addConfiguration(partition, entry)
    if (record === null || partition === controllerPartition) return
    this.#addCommand(partition, entry.index, record)
  }

  /** Majorities of consecutive configurations overlap when at most one voter differs. */
  #addConfiguration(partition: number, entry: Entry): void {
    const list = this.#configurations.get(partition) ?? []
    this.#configurations.set(partition, list)
    const configuration = decodeConfiguration(entry.payload)
    const before = list.at(-1)?.configuration.voters
    list.push({ index: entry.index, configuration })
    if (before === undefined) return
    const { voters } = configuration
    const changed = [...voters, ...before].filter(id => voters.includes(id) !== before.includes(id))
    if (changed.length > 1) {
      const text = `the configuration at ${entry.index} changes ${changed.length} voters at once: ${changed.join(', ')}`
      this.#init.violated(text, { partition })
    }
  }

  #addCommand(partition: number, index: number, record: CommandRecord): void {
    const { aggregate: key, commandId, firstSequence } = record
    const name = nameOf(key)
    const about = { partition, aggregate: name }
    const definition = this.#init.aggregates.get(key.type)
    const isOwn = isSystemType(key.type)
    if (definition === undefined || !(isOwn || this.#init.wasAsked(key, commandId))) {
      this.#init.violated(`entry ${index} holds command ${commandId} of ${name}, which nobody sent`, about)
      return
    }
    const history = this.#aggregates.get(name) ?? newHistory(key, partition, definition)
    this.#aggregates.set(name, history)
    const before = history.commands.get(commandId)
    if (before !== undefined) {
      this.#init.violated(
        `command ${commandId} of ${name} took effect twice: in entry ${before} and in ${index}`,
        about,
      )
      return
    }
    if (firstSequence !== history.events.length + 1) {
      const text = `entry ${index} begins ${name} at sequence ${firstSequence}, after ${history.events.length}`
      this.#init.violated(text, about)
      return
    }
    history.commands.set(commandId, index)
    const rows = toStoredEvents(record, { partition, index })
    const all = this.#events.get(partition) ?? []
    this.#events.set(partition, all)
    for (const row of rows) {
      if (!isOwn) all.push(row)
      history.events.push(row)
      const { type, version, data } = row
      const event = { type, version, data: JSON.parse(data) as unknown }
      history.states.push(applyEvent(definition, history.states.at(-1), event))
    }
    this.#init.onCommand(history, rows)
  }
}

const newHistory = (key: AggregateKey, partition: number, definition: AnyAggregate): AggregateHistory => ({
  key,
  partition,
  events: [],
  states: [definition.emptyState],
  commands: new Map(),
})

export const nameOf = ({ type, id }: AggregateKey): string => `${type}/${id}`

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let place = 0; place < a.length; place += 1) if (a[place] !== b[place]) return false
  return true
}
