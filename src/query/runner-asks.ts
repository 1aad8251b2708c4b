// What a runner is asked, and its replies: questions of the plugin, and what people want done with dead letters.
import { GlynError, isGlynError, toErrorBody } from '../core/errors.ts'
import { answerQuestion } from './answer-question.ts'
import type { NormalQuery } from './define-query.ts'
import { createParkedOperations, type ParkedOperations, type ParkedSelection } from './parked-operations.ts'
import type { ReadModel } from './read-model.ts'
import type { FromRunner, ToRunner } from './runner-messages.ts'

export type AskMessage = Extract<ToRunner, { type: 'ask' }>
type Reply = Extract<FromRunner, { type: 'answer' | 'answer-failed' }>

export interface RunnerAsksInit {
  readonly query: NormalQuery
  /** Undefined when it is closed. */
  model(): ReadModel | undefined
  /** The plugin's code gets the thread for this ask, or by itself; the result says that it has returned. */
  begin(ask: number | null): () => void
  soon(action: () => void): void
  /** ISO 8601. */
  time(): string
  /** More or fewer may be parked. */
  changed(): void
  /** Something failed, and the read model may be no use any more. */
  repair(error: unknown): void
}

export interface RunnerAsks {
  /** Never rejects: a failure is a reply too. */
  reply(message: AskMessage): Promise<Reply>
  /** Goes on with dead letters that were about to be handled when the query ended. Never rejects. */
  resume(): Promise<void>
}

export function createRunnerAsks(init: RunnerAsksInit): RunnerAsks {
  const { query } = init

  const operations = (ask: number | null): ParkedOperations =>
    createParkedOperations({
      query,
      model: init.model,
      guard(action) {
        const end = init.begin(ask)
        try {
          return action()
        } finally {
          end()
        }
      },
      pause: () => new Promise(resolve => init.soon(resolve)),
      time: init.time,
      changed: init.changed,
    })

  const answer = async ({ id, kind, question, parameters: text }: AskMessage): Promise<string> => {
    const parameters: unknown = JSON.parse(text)
    switch (kind) {
      case 'question': {
        const end = init.begin(id)
        try {
          return await answerQuestion({ query, model: init.model }, { question, parameters })
        } finally {
          end()
        }
      }
      case 'seen':
        return 'null'
      case 'parked':
        return JSON.stringify(operations(id).list((parameters as { readonly limit: number }).limit))
      case 'retry':
      case 'drop':
        return JSON.stringify(await operations(id)[kind](parameters as ParkedSelection))
    }
  }

  const explain = ({ kind, question }: AskMessage, error: unknown): unknown => {
    if (isGlynError(error)) return error
    const why = error instanceof Error ? error.message : String(error)
    const what = kind === 'question' ? question : `${kind} of what is parked`
    return new GlynError('QUERY_FAILED', `query ${query.name}: ${what} threw: ${why}`)
  }

  return {
    async reply(message) {
      const { id } = message
      try {
        return { type: 'answer', id, json: await answer(message) }
      } catch (error) {
        init.repair(error)
        return { type: 'answer-failed', id, error: toErrorBody(explain(message, error)) }
      }
    },
    async resume() {
      try {
        await operations(null).resume()
      } catch (error) {
        init.repair(error)
      }
    },
  }
}
