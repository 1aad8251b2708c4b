// What the compiler knows of a definition: its state, commands, events and the codes of its rejections.
import type { Aggregate, AnyAggregate } from './aggregate.ts'
import type { Command } from './command.ts'
import type { DomainEvent, EnvelopeOf } from './event.ts'
import type { Outcome } from './outcome.ts'

/** The state of an aggregate: `StateOf<typeof bankAccount>`. */
export type StateOf<Definition extends AnyAggregate> =
  Definition extends Aggregate<
    infer State,
    infer _Cmd extends Command,
    infer _Event extends DomainEvent,
    infer _Code extends string,
    infer _Sent extends Command
  >
    ? State
    : never

/** The commands that a caller may send: `CommandOf<typeof bankAccount>`. */
export type CommandOf<Definition extends AnyAggregate> = NonNullable<Definition['~types']>['sent']

/** The events of an aggregate, as its code writes them: `EventOf<typeof bankAccount>`. */
export type EventOf<Definition extends AnyAggregate> = Parameters<Definition['apply']>[1]

/** The events of an aggregate, as readers see them; `event.type` tells what `event.data` is. */
export type EnvelopesOf<Definition extends AnyAggregate> = EnvelopeOf<EventOf<Definition>>

/** The codes with which an aggregate says no: `CodeOf<typeof bankAccount>`. */
export type CodeOf<Definition extends AnyAggregate> = Extract<
  ReturnType<Definition['handle']>,
  { readonly rejected: true }
>['code']

/** How a command to an aggregate may end. */
export type OutcomeOf<Definition extends AnyAggregate> = Outcome<EventOf<Definition>, CodeOf<Definition>>
