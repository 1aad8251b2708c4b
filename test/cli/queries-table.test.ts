// The table of queries: how far, how fast, what is built beside, and what is wrong, in one look.
import t from 'tap'
import { formatProgress, formatQueries } from '../../src/cli/queries-table.ts'
import type { QueryStatus } from '../../src/node/queries-api.ts'
import { createMemoryIo } from '../support/memory-io.ts'

const status = (partial: Partial<QueryStatus>): QueryStatus => ({
  name: 'balance',
  version: 1,
  state: 'running',
  lag: 0,
  lagSeconds: 0,
  ratePerSecond: 0,
  parked: 0,
  held: 0,
  progress: null,
  building: null,
  positions: {},
  file: '/config/queries/balance.ts',
  lastError: null,
  ...partial,
})
const time = '2026-01-31T12:34:56.000Z'

t.test('a query that catches up, and a version that is built beside', async t => {
  const io = createMemoryIo('/')
  const text = formatQueries(io, [
    status({
      state: 'catching-up',
      lag: 1500,
      lagSeconds: 62,
      ratePerSecond: 210_000,
      progress: { done: 500, total: 2000 },
    }),
    status({
      name: 'totals',
      version: 2,
      parked: 3,
      building: {
        version: 3,
        contentHash: null,
        state: 'failed',
        ratePerSecond: 0,
        progress: { done: 1, total: 3 },
        lastError: { message: '/config/queries/balance.ts: syntax error\n at line 3', stack: null, time },
      },
    }),
  ])
  const lines = text.split('\n')
  t.match(lines[1], /^balance +1 +catching-up █████░{15} +25% +1,500 +62 +210,000 +0$/)
  t.match(lines[2], /^totals +2 +running +0 +0 +0 +3$/)
  t.match(
    lines[3],
    /^ {2}next +3 +failed █{6}░{14} +33% +2 +0 +balance\.ts: syntax error at line 3 \(12:34:56\)$/,
  )
  t.notMatch(text, '\u001b', 'without colours where there is no terminal')
})

t.test('no queries, and nothing to do', async t => {
  t.match(formatQueries(createMemoryIo('/'), []), /^no queries; drop a file/)
  t.match(formatProgress({ done: 0, total: 0 }), /100%$/)
})

t.test('an error is text: a terminal obeys nothing of it', async t => {
  const lastError = { message: 'no\u001b[2J such\u0007 thing', stack: null, time }
  const text = formatQueries(createMemoryIo('/'), [status({ state: 'failed', lastError })])
  t.notOk(text.includes('\u001b') || text.includes('\u0007'))
  t.match(text, /such/)
})
