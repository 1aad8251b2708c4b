// Many commands over one connection.
import type { FastifyInstance } from 'fastify'
import { toErrorBody } from '../core/errors.ts'
import { parseBatchRequest, parseJson } from './command-request.ts'
import { addLineRoute, type LineCall, lineKeyOf } from './line-calls.ts'
import type { ServerContext } from './server-context.ts'

/**
 * `POST /v1/batch`: each line is a command with `type`, `id`, `command`, `data` and a `key` of the caller's choice (the
 * line number when left out). The answers, `{"key","outcome"}` or `{"key","error"}`, come in the order of completion;
 * commands of one aggregate are executed in the order of their lines.
 */
export function addBatchRoute(app: FastifyInstance, context: ServerContext): void {
  addLineRoute(app, context, {
    path: '/v1/batch',
    parse(line, lineNumber): LineCall {
      const where = `line ${lineNumber}`
      const value = parseJson(line, where)
      const { type, id, command, data, ...options } = parseBatchRequest(value, where, ['key'])
      const key = lineKeyOf(value, lineNumber)
      return {
        lane: `${type}\0${id}`,
        run: async ({ node, signal }) =>
          await node.execute(type, id, { type: command, data }, { ...options, signal }).then(
            outcome => {
              context.metrics.countCommand(outcome.type)
              return { key, outcome }
            },
            (error: unknown) => {
              context.metrics.countCommand('failed')
              return { key, error: toErrorBody(error) }
            },
          ),
      }
    },
  })
}
