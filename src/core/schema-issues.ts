// What a Standard Schema found wrong, as details for programs and as a text for people.
import type { StandardSchemaV1 } from '@standard-schema/spec'

export interface SchemaIssues {
  readonly issues: readonly { readonly path: string; readonly message: string }[]
  /** `data.amount: expected a number; note: too long` */
  readonly text: string
}

export function schemaIssues(found: readonly StandardSchemaV1.Issue[]): SchemaIssues {
  const issues = found.map(({ path = [], message }) => ({
    path: path.map(part => String(typeof part === 'object' ? part.key : part)).join('.'),
    message,
  }))
  const texts = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  return { issues, text: texts.join('; ') }
}
