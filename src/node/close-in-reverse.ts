// What was opened is closed in the reverse order, each thing despite the failures of the others.

/** Empties the list. Throws the first failure once everything was asked to close. */
export async function closeInReverse(closers: (() => Promise<void> | void)[]): Promise<void> {
  const failures: unknown[] = []
  for (const close of closers.splice(0).reverse()) {
    try {
      await close()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}
