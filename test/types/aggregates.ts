// What must compile, and what must not, of defineAggregate. Compiled by `npm run check`; nothing here runs.
import {
  type AnyAggregate,
  type CodeOf,
  type Command,
  type CommandOf,
  defineAggregate,
  type EventOf,
  reject,
  type StateOf,
} from 'glyn-node'
import { z } from 'zod'
import { same } from './same.ts'

type Nothing = Record<never, never>

// Nothing is annotated: commands from the schemas, events from what handle returns.
const counter = defineAggregate({
  type: 'counter',
  emptyState: { total: 0 },
  commands: { Add: z.object({ by: z.number().default(1) }), Clear: z.object({}) },
  handle(state, command) {
    if (command.type === 'Clear') return state.total === 0 ? [] : { type: 'Cleared', data: {} }
    if (state.total + command.data.by > 10) return reject('too_much', 'at most 10')
    if (command.data.by < 0) return reject('negative', 'no')
    return [{ type: 'Added', data: { by: command.data.by } }]
  },
  apply(state, event) {
    return event.type === 'Added' ? { total: state.total + event.data.by } : { total: 0 }
  },
})
type C = typeof counter
same<CodeOf<C>, 'too_much' | 'negative'>()
same<
  CommandOf<C>,
  | { readonly type: 'Add'; readonly data: { by?: number | undefined } }
  | { readonly type: 'Clear'; readonly data: Record<string, never> }
>()
same<EventOf<C>, { type: 'Added'; data: { by: number } } | { type: 'Cleared'; data: Nothing }>()
same<StateOf<C>, { total: number }>()

// No schemas: all from the types of the functions.
interface Account {
  readonly status: 'unopened' | 'open'
  readonly balance: number
}
type BC = { type: 'Open'; data: Nothing } | { type: 'Deposit'; data: { amount: number } }
type BE = { type: 'Opened'; data: Nothing } | { type: 'Deposited'; data: { amount: number } }
const account = defineAggregate({
  type: 'account',
  emptyState: { status: 'unopened', balance: 0 },
  handle(state: Account, command: BC) {
    if (command.type === 'Open')
      return state.status === 'open' ? reject('open_already', '') : { type: 'Opened', data: {} }
    return { type: 'Deposited', data: command.data }
  },
  apply(state: Account, event: BE): Account {
    return event.type === 'Opened' ? { ...state, status: 'open' } : { ...state, balance: event.data.amount }
  },
})
type A = typeof account
same<CodeOf<A>, 'open_already'>()
same<CommandOf<A>, BC>()
same<EventOf<A>, BE>()
same<StateOf<A>, Account>()

// By hand.
const explicit = defineAggregate<Account, BC, BE>({
  type: 'account',
  emptyState: { status: 'unopened', balance: 0 },
  handle: (state, command) =>
    command.type === 'Open' ? reject('no', String(state.status)) : { type: 'Deposited', data: command.data },
  apply: state => state,
})
same<CodeOf<typeof explicit>, string>()
same<CommandOf<typeof explicit>, BC>()
const explicit4 = defineAggregate<Account, BC, BE, 'no'>({
  type: 'account',
  emptyState: { status: 'unopened', balance: 0 },
  handle: (state, command) =>
    command.type === 'Open' ? reject('no', String(state.status)) : { type: 'Deposited', data: command.data },
  apply: state => state,
})
same<CodeOf<typeof explicit4>, 'no'>()
const never = defineAggregate({
  type: 'never',
  emptyState: 0,
  handle: (_state, command: Command<'Add', number>) => ({ type: 'Added', data: command.data }),
  apply: (state, event) => state + event.data,
})
same<CodeOf<typeof never>, never>()
same<EventOf<typeof never>, { type: 'Added'; data: number }>()

// A list only, and an upcast.
const list = defineAggregate({
  type: 'list',
  emptyState: { total: 0 },
  commands: { Add: z.object({ by: z.number().default(1) }) },
  handle: (_state, { data }) => [
    { type: 'Added', version: 2, data: { by: data.by } },
    { type: 'Told', data: {} },
  ],
  apply: (state, event) => (event.type === 'Added' ? { total: state.total + event.data.by } : state),
  upcast: { Added: [data => data] },
})
same<EventOf<typeof list>['type'], 'Added' | 'Told'>()
same<Extract<EventOf<typeof list>, { type: 'Added' }>['data'], { by: number }>()
same<CodeOf<typeof list>, never>()
defineAggregate({
  type: 'wrong',
  emptyState: 0,
  handle: (_state, command: Command<'Add', number>) => [{ type: 'Added', data: command.data }],
  apply: state => state,
  // @ts-expect-error: there is no such event
  upcast: { Nothing: [data => data] },
})

// Events of former days: apply knows more than handle yields.
const old = defineAggregate({
  type: 'old',
  emptyState: { status: 'unopened', balance: 0 },
  handle(_state: Account, command: BC) {
    return command.type === 'Open' ? [{ type: 'Opened' as const, data: {} }] : []
  },
  apply(state: Account, event: BE): Account {
    return event.type === 'Opened' ? { ...state, status: 'open' } : { ...state, balance: event.data.amount }
  },
})
same<EventOf<typeof old>, BE>()
defineAggregate({
  type: 'unknown',
  emptyState: { status: 'unopened', balance: 0 },
  handle(_state: Account, _command: BC) {
    return { type: 'Closed', data: {} }
  },
  // @ts-expect-error: apply does not know Closed
  apply(state: Account, _event: BE): Account {
    return state
  },
})
defineAggregate({
  type: 'unknown',
  emptyState: { total: 0 },
  commands: { Add: z.object({ by: z.number() }) },
  handle(_state, _command) {
    // @ts-expect-error
    _command.data.nope
    return { type: 'Added', data: { n: 1 } }
  },
  apply(state, event) {
    // @ts-expect-error
    event.data.by
    return { total: state.total + event.data.n }
  },
})

export const all: readonly AnyAggregate[] = [counter, account, explicit, explicit4, never, old, list]

defineAggregate({
  type: 'wrong',
  emptyState: { total: 0 },
  commands: { Add: z.object({ by: z.number() }) },
  // @ts-expect-error: a state is no event
  handle: (_state, command) => ({ total: command.data.by }),
  apply: state => state,
})
// @ts-expect-error: apply is missing
defineAggregate({ type: 'wrong', emptyState: 0, handle: (): [] => [] })
// @ts-expect-error: handle has to be there
defineAggregate<number>({ type: 'wrong', emptyState: 0, apply: state => state })
defineAggregate<number, Command<'Add', number>, { type: 'Added'; data: number }, 'no'>({
  type: 'wrong',
  emptyState: 0,
  // @ts-expect-error: that code is not declared
  handle: () => reject('other', 'text'),
  apply: state => state,
})
// @ts-expect-error: it is a promise
defineAggregate({ type: 'wrong', emptyState: 0, handle: async () => [], apply: (state: number) => state })
