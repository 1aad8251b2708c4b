// A question of the plugin meets its parameters: checked, answered, and nothing written.
import { GlynError } from '../core/errors.ts'
import { schemaIssues } from '../core/schema-issues.ts'
import type { NormalQuery } from './define-query.ts'
import type { ReadModel } from './read-model.ts'

/**
 * The answer as JSON. Throws INVALID_ARGUMENT with `details.issues` for parameters that do not fit the question's schema,
 * else what the answer throws. What it does after it has returned a promise is not guarded; there is nothing to wait for
 * in SQLite.
 */
export async function answerQuestion(
  { query, model }: { readonly query: NormalQuery; model(): ReadModel | undefined },
  { question, parameters }: { readonly question: string; readonly parameters: unknown },
): Promise<string> {
  const found = query.definition?.answer?.[question]
  if (found === undefined) throw new Error('there is no such question')
  let checked = parameters
  if (typeof found !== 'function') {
    const result = await found.parameters['~standard'].validate(parameters)
    if (result.issues !== undefined) {
      const { issues, text } = schemaIssues(result.issues)
      throw new GlynError(
        'INVALID_ARGUMENT',
        `query ${query.name}: ${question} got parameters that do not fit: ${text}`,
        { details: { issues } },
      )
    }
    checked = result.value
  }
  // Not before: the read model may have been opened anew while the schema was waited for.
  const open = model()
  if (open === undefined) throw new Error('the read model is closed')
  const answer = typeof found === 'function' ? found : found.answer.bind(found)
  return JSON.stringify(await open.readOnly(() => answer(open.db, checked as never))) ?? 'null'
}
