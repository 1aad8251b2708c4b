// Child processes that run as at a user's. tap hands its module hooks down to every child by NODE_OPTIONS: they slow each
// process down, and some tools cannot be loaded with them.

/** `spawn(...plainly(file, args), options)`: what is run is `file`, with the same pid, and without tap's NODE_OPTIONS. */
export function plainly(file: string, args: readonly string[]): [file: string, args: readonly string[]] {
  return ['env', ['-u', 'NODE_OPTIONS', file, ...args]]
}
