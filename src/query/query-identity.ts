// Who one version of a query is: its name, the code that it runs, and whether it is the one that answers.
import { hashParts } from '../plugin/plugin-parts.ts'
import type { KeptCode } from '../plugin/resolve-hook.ts'

export interface QueryIdentityInit {
  /** Until the file has said its name. */
  readonly name: string
  readonly file: string | null
  /** Of a definition given in code. That of a file is known when it is loaded, with what it imports. */
  readonly contentHash: string
  readonly isServing: boolean
}

/** Files and the hashes of what they held, SHA-256, hex. */
export type CodeParts = readonly { readonly file: string; readonly hash: string }[]

export interface QueryIdentity {
  readonly file: string | null
  readonly name: string
  readonly version: number
  /** SHA-256, hex; of the code that is loaded, or was last. */
  readonly contentHash: string
  /** The files that it was loaded from, or those that were loaded until it failed; empty when that is not known. */
  readonly parts: CodeParts
  /** The code that it runs: a thread that crashed is started again with this, whatever has become of the files. */
  readonly kept: KeptCode | null
  /** False while it is built beside the version that answers. */
  readonly isServing: boolean
  /** A thread has loaded it. `code` is null for a definition given in code. */
  learn(loaded: { readonly name: string; readonly version: number; readonly code: KeptCode | null }): void
  learnParts(parts: CodeParts): void
  /** The next thread reads the files again. */
  forgetCode(): void
  serve(): void
  /** For messages. */
  label(): string
  /** For the log. */
  fields(): { readonly query: string; readonly file: string | null }
}

export function createQueryIdentity(init: QueryIdentityInit): QueryIdentity {
  const { file } = init
  let { name, contentHash, isServing } = init
  let version = 1
  let parts: CodeParts = []
  let kept: KeptCode | null = null

  const learnParts = (learned: CodeParts): void => {
    parts = learned.map(part => ({ file: part.file, hash: part.hash }))
  }

  return {
    file,
    get name() {
      return name
    },
    get version() {
      return version
    },
    get contentHash() {
      return contentHash
    },
    get parts() {
      return parts
    },
    get kept() {
      return kept
    },
    get isServing() {
      return isServing
    },
    learn(loaded) {
      name = loaded.name
      version = loaded.version
      kept = loaded.code
      if (loaded.code === null) return
      learnParts(loaded.code.parts)
      contentHash = hashParts(loaded.code.parts)
    },
    learnParts,
    forgetCode() {
      kept = null
    },
    serve() {
      isServing = true
    },
    label: () => `${isServing ? '' : 'the new version of '}query ${name}`,
    fields: () => ({ query: name, file }),
  }
}
