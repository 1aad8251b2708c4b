// What users claim of their aggregates, and what they see of the world to check it.
import type { Canon } from './canon.ts'

/** Something that has to hold at every moment. */
export interface Invariant {
  readonly name: string
  /** Null when it holds, else what is wrong, in words. */
  readonly check: (view: InvariantView) => string | null
}

/** What is committed, as the invariants of a user see it. */
export interface InvariantView {
  /** The state of every aggregate of a type that has an event, by id. */
  states<State = unknown>(type: string): ReadonlyMap<string, State>
  /** True when the workload is over, and everyone was answered. */
  readonly isOver: boolean
}

/** The caller says what the states are: it made them. */
export function statesOf<State>(canon: Canon, type: string): ReadonlyMap<string, State> {
  const states = new Map<string, State>()
  for (const { key, states: all } of canon.aggregates()) {
    if (key.type === type) states.set(key.id, all.at(-1) as State)
  }
  return states
}
