// What a caller asks of an aggregate, and the names that travel with it.

/** The address of one aggregate. Both parts are non-empty and at most `limits.nameBytesMax` bytes of UTF-8. */
export interface AggregateKey {
  readonly type: string
  readonly id: string
}

/** A command as a domain writes it: `{ type: 'DepositMoney', data: { amount: 100 } }`. */
export interface Command<Type extends string = string, Data = unknown> {
  readonly type: Type
  readonly data: Data
}

/** A flat map of strings that travels with a command into its events: trace ids, the user, … */
export type Metadata = Readonly<Record<string, string>>

/** A command on its way to the leader of its aggregate. A retry carries the same `commandId`. */
export interface CommandEnvelope {
  readonly aggregate: AggregateKey
  readonly command: Command
  readonly commandId: string
  readonly metadata: Metadata
  /**
   * Also a rejection, or that there was nothing to do, is stored under the id: a retry is told the same, for ever. For
   * commands that a program sends by itself, where a retry that is decided afresh would be a second command.
   */
  readonly keepsOutcome?: boolean
}
