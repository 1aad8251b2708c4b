// The code blocks of a document.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Snippet {
  /** `ts`, `sh`, … */
  readonly language: string
  /** What the first line, a comment, says: the name of a file. Null when it says none. */
  readonly file: string | null
  readonly text: string
}

/** In order. `document` is a path from the root of the repository. */
export function snippetsOf(document: string): readonly Snippet[] {
  const text = readFileSync(join(root, document), 'utf8')
  return [...text.matchAll(/^ *```(\w+)[^\n]*\n([\s\S]*?)^ *```$/gm)].map(([, language = '', body = '']) => ({
    language,
    file: /^(?:\/\/|#) (\S+\.\w+)\n/.exec(body)?.[1] ?? null,
    text: body,
  }))
}
