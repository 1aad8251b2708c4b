// The directory of a test whose processes or threads write there until its teardowns have ended them.

export interface TestWithDirectory {
  testdir(): string
  teardown(action: () => Promise<void>): void
}

/**
 * `t.testdir()`, removed after every teardown of the test. Tap removes it before the first of them, when that was added after
 * the directory was made, while others still write there.
 */
export function directoryOf(t: TestWithDirectory): string {
  t.teardown(() => Promise.resolve())
  return t.testdir()
}
