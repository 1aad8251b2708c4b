// Says at compile time that two types are the same.

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** `same<A, B>()` compiles only when both are one type; for the compiler only. */
export function same<A, B>(..._: Same<A, B> extends true ? [] : [expected: A, found: B]): undefined {
  return undefined
}
