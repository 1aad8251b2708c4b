// A query host on a memory source and a directory of its own, closed when the test ends.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import type { Log, LogFields } from '../../src/core/log.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { loadQueries } from '../../src/query/load-queries.ts'
import type { QueryStatus } from '../../src/query/query.ts'
import { createQueryHost, type HostedQuery, type QueryHost } from '../../src/query/query-host.ts'
import type { QueryLimits } from '../../src/query/query-limits.ts'
import { createMemorySource, type MemorySource } from './memory-source.ts'

export interface TestOfHosts {
  testdir(): string
  teardown(action: () => Promise<void>): void
}

export interface Given {
  /** Text by file name; written to `queries/`. */
  readonly files?: Readonly<Record<string, string>>
  readonly queries?: readonly HostedQuery[]
  readonly source?: MemorySource
  readonly limits?: Partial<QueryLimits>
  /** A directory of an earlier host. */
  readonly directory?: string
  readonly history?: string
  readonly inMemory?: boolean
}

export interface Running {
  readonly host: QueryHost
  readonly source: MemorySource
  readonly directory: string
  readonly log: Log
  readonly lines: { readonly level: string; readonly message: string; readonly fields: LogFields }[]
  status(name: string): QueryStatus
}

/** Threads of this process that have not ended. */
const threads = new Set<Worker>()
process.on('worker', worker => {
  threads.add(worker)
  worker.once('exit', () => threads.delete(worker))
})
const awaited = new WeakSet<TestOfHosts>()

/**
 * A directory of the test, removed when everything else of it is over. To call before anything else of the test: tap removes
 * a directory before it calls the first teardown if that was added after the directory was made, while hosts still write to
 * it. And on a busy machine a thread may take longer to end than a host waits for it.
 */
export function directoryOf(t: TestOfHosts): string {
  awaitThreads(t)
  return t.testdir()
}

function awaitThreads(t: TestOfHosts): void {
  if (awaited.has(t)) return
  awaited.add(t)
  t.teardown(() => until(() => threads.size === 0))
}

export async function withHost(t: TestOfHosts, given: Given): Promise<Running> {
  const directory = given.directory ?? directoryOf(t)
  const folder = join(directory, 'queries-source')
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(given.files ?? {})) writeFileSync(join(folder, name), text)
  const source = given.source ?? createMemorySource()
  const { queries } = await loadQueries(folder)
  const lines: Running['lines'] = []
  const write = (level: string) => (fields: LogFields, message: string) =>
    void lines.push({ level, fields, message })
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const host = createQueryHost({
    queries: [...queries, ...(given.queries ?? [])],
    dataDirectory: given.inMemory === true ? null : join(directory, 'data'),
    source,
    clock: systemClock,
    log,
    history: given.history ?? 'test',
    limits: {
      backoffMsMin: 20,
      backoffMsMax: 200,
      loadBackoffMs: 300,
      loadMsMax: 60_000,
      startMsMax: 60_000,
      ...given.limits,
    },
  })
  t.teardown(() => host.close())
  await host.start()
  return {
    host,
    source,
    directory,
    log,
    lines,
    status(name) {
      const found = host.status().find(status => status.name === name)
      if (found === undefined) throw new Error(`no query ${name} in ${JSON.stringify(host.status())}`)
      return found
    },
  }
}

/** Waits until `claim` holds. Throws after the deadline, with what it last saw. */
export async function until(
  claim: () => boolean,
  options: { readonly see?: () => unknown; readonly timeoutMs?: number } = {},
) {
  const deadline = performance.now() + (options.timeoutMs ?? 60_000)
  while (!claim()) {
    if (performance.now() > deadline) {
      throw new Error(`it never held: ${String(claim)}; last: ${JSON.stringify(options.see?.())}`)
    }
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** A query file that counts the events it sees: by id, and how often each. */
export const countingQuery = (name: string, body = ''): string => `
import { defineQuery } from 'glyn-node'
export default defineQuery({
  name: '${name}',
  init(db) {
    db.exec('create table if not exists seen (id text primary key, times integer not null, place integer not null)')
  },
  handle(aggregateId, events, { db }) {
    for (const event of events) {
      ${body}
      db.prepare(\`insert into seen values (?, 1, (select count(*) + 1 from seen))
        on conflict do update set times = times + 1\`).run(event.id)
    }
  },
  answer: {
    count: db => db.prepare('select count(*) as ids, coalesce(sum(times), 0) as times from seen').get(),
    ids: db => db.prepare('select id from seen order by place').pluck().all(),
    echo: (db, parameters) => parameters,
    loop: () => { for (;;) {} },
    throw: () => { throw new Error('no answer today') },
    write: db => db.exec('delete from seen'),
    exit: () => process.exit(7),
  },
})
`
