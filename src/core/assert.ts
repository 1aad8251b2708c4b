// For our own mistakes. These checks stay on in production: a node that broke an invariant stops.

/** We were wrong. Never caught to go on; the process ends with the message. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Throws an {@link InvariantError} unless `condition` holds. Pass a function where the text is costly. */
export function invariant(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantError(typeof message === 'string' ? message : message())
}
