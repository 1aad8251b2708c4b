// Many given events over one connection.
import type { FastifyInstance } from 'fastify'
import { toErrorBody } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { toAppendBody } from '../node/append-body.ts'
import { parseAppendRequest } from './append-request.ts'
import { parseJson } from './command-request.ts'
import { addLineRoute, type LineCall, lineKeyOf } from './line-calls.ts'
import type { ServerContext } from './server-context.ts'

/** JSON inside of JSON may take twice its length. */
const lineBytesMax = 2 * limits.entryBytesMax + 64 * 1024

/**
 * `POST /v1/append`: each line is the events of one append, see docs/http.md. The answers, `{"key","result"}` or
 * `{"key","error"}`, come in the order of completion; appends of one aggregate are made in the order of their lines.
 */
export function addAppendRoute(app: FastifyInstance, context: ServerContext): void {
  addLineRoute(app, context, {
    path: '/v1/append',
    lineBytesMax,
    parse(line, lineNumber): LineCall {
      const where = `line ${lineNumber}`
      const value = parseJson(line, where)
      const { append, ...options } = parseAppendRequest(value, where)
      const key = lineKeyOf(value, lineNumber)
      return {
        // Each has a lane of its own: the node keeps those of one aggregate in their order, and many of them travel together.
        lane: String(lineNumber),
        run: async ({ node, signal }) =>
          await node.append([append], { ...options, signal }).then(
            results => ({ key, result: results.map(toAppendBody)[0] }),
            (error: unknown) => ({ key, error: toErrorBody(error) }),
          ),
      }
    },
  })
}
