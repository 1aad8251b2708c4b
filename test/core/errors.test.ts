// The one table of errors: complete, documented, and the same on both sides of a wire.
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import {
  type ErrorCode,
  errorTable,
  exitCodeOf,
  fromErrorBody,
  GlynError,
  hasCode,
  isErrorCode,
  isGlynError,
  toErrorBody,
} from '../../src/core/errors.ts'

const codes = Object.keys(errorTable) as ErrorCode[]
const docsPath = new URL('../../docs/errors.md', import.meta.url)

t.test('docs/errors.md is the table, row for row', async t => {
  const rows = codes.map(code => {
    const { retryable, exitCode, summary } = errorTable[code]
    return [`\`${code}\``, summary, retryable ? 'yes' : 'no', String(exitCode)]
  })
  const expected = [
    '# Errors',
    '',
    'Every failure of the world carries one of these codes: in the library as `error.code` of a `GlynError`, under',
    '`--json` and in HTTP bodies as `{"error":{"code","message","retryable","details"}}`. A rejection by the domain is',
    'not an error but an outcome; the command line ends with exit code 3 then.',
    '',
    'Where _retry_ says yes, the same call may succeed later. Send a command again **with the same command id**: if the',
    'first attempt did take effect, you get its outcome, and nothing happens twice.',
    '',
    ...alignedTable([['code', 'meaning', 'retry', 'exit code'], ...rows]),
    '',
  ].join('\n')
  // Written anew with: UPDATE_DOCS=1 node test/core/errors.test.ts
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(docsPath, expected)
  t.equal(readFileSync(docsPath, 'utf8'), expected)
})

t.test('every summary is a sentence, and what may be retried exits with 4', async t => {
  for (const code of codes) {
    const { summary, retryable, exitCode } = errorTable[code]
    t.match(code, /^[A-Z][A-Z_]*[A-Z]$/)
    t.match(summary, /^[A-Z].*\.$/, code)
    t.equal(exitCode === 4, retryable, `${code} exits with ${exitCode}`)
    t.equal(exitCodeOf(code), exitCode)
  }
})

t.test('an error survives the wire', async t => {
  for (const code of codes) {
    const error = new GlynError(code, 'what happened', { details: { n: 1 } })
    const body = JSON.parse(JSON.stringify(toErrorBody(error)))
    const again = fromErrorBody(body)
    t.ok(isGlynError(again))
    t.same(
      [again.code, again.message, again.retryable, again.details],
      [code, 'what happened', errorTable[code].retryable, { n: 1 }],
    )
  }
  t.notOk('details' in toErrorBody(new GlynError('TIMEOUT', 'late')))
})

t.test('a code of a newer version becomes INTERNAL, with its name in the text', async t => {
  const error = fromErrorBody({ code: 'FROM_THE_FUTURE', message: 'oh', retryable: true })
  t.same([error.code, error.message], ['INTERNAL', 'FROM_THE_FUTURE: oh'])
  t.equal(isErrorCode('toString'), false)
  t.equal(fromErrorBody({ code: 'constructor', message: 'oh', retryable: true }).code, 'INTERNAL')
})

t.test('what is not ours is INTERNAL', async t => {
  t.same(toErrorBody(new TypeError('x is not a function')), {
    code: 'INTERNAL',
    message: 'x is not a function',
    retryable: false,
  })
  t.same(toErrorBody('a text'), { code: 'INTERNAL', message: 'a text', retryable: false })
  t.same(toErrorBody(undefined).code, 'INTERNAL')
})

t.test('errors are recognised by code, also those of another copy of the package', async t => {
  const foreign = Object.assign(new Error('late'), { name: 'GlynError', code: 'TIMEOUT', retryable: true })
  t.ok(isGlynError(foreign))
  t.ok(hasCode(foreign, 'UNAVAILABLE', 'TIMEOUT'))
  t.notOk(hasCode(foreign, 'UNAVAILABLE'))
  t.notOk(isGlynError(Object.assign(new Error('x'), { code: 'TIMEOUT' })))
  t.notOk(isGlynError({ name: 'GlynError', code: 'TIMEOUT' }))
  const cause = new Error('below')
  t.equal(new GlynError('TIMEOUT', 'x', { cause }).cause, cause)
  t.notOk('cause' in new GlynError('TIMEOUT', 'x'))
})

/** A table of Markdown, its columns as wide as Biome makes them. */
function alignedTable(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const [head = [], ...body] = rows
  return [line(head), line(widths.map(width => '-'.repeat(width))), ...body.map(line)]
}
