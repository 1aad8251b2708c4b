// What a checker found: a broken promise, and what it is about.

export interface Violation {
  /** Of docs/ARCHITECTURE.md, or `run` where the run itself did not get to its end. */
  readonly guarantee: 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'run'
  readonly text: string
  readonly aggregate?: string
  readonly commandId?: string
}
