// The queries of a node: the files of the config directory and those given in code, fed from the node's feed.
import { extname, join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import type { QueryMessage } from '../core/query-message.ts'
import { loadQueries } from '../query/load-queries.ts'
import type { EventSource, QueryStatus } from '../query/query.ts'
import { createQueryHost, type QueryHost } from '../query/query-host.ts'
import { watchQueries } from '../query/watch-queries.ts'
import { checkPositive } from './check-arguments.ts'
import type { DataDirectory } from './data-directory.ts'
import { openingFeed } from './node-erasure.ts'
import type { CompleteNodeOptions } from './node-options.ts'
import type { NodeParts } from './node-parts.ts'
import type { QueriesApi } from './queries-api.ts'

const askTimeoutMs = 10_000

export interface NodeQueries {
  names(): readonly string[]
  status(): readonly QueryStatus[]
  deliver(message: QueryMessage): void
  /** What is wrong with the folder of queries, a line each. */
  problems(): readonly string[]
  readonly api: Pick<QueriesApi, 'list' | 'rebuild' | 'pause' | 'resume'>
  ask(
    name: string,
    question: string,
    parameters: Readonly<Record<string, unknown>>,
    options: {
      readonly timeoutMs?: number | undefined
      readonly signal?: AbortSignal | undefined
      readonly after?: ReadonlyMap<number, number>
    },
  ): Promise<unknown>
  readonly host: QueryHost
  close(): Promise<void>
}

export async function startQueries(init: {
  readonly options: CompleteNodeOptions
  readonly directory: DataDirectory
  readonly parts: NodeParts
  readonly history: string
  readonly clock: Clock
}): Promise<NodeQueries> {
  const { options, directory, parts, clock } = init
  const { configDirectory, log } = options
  const queryDirectory = configDirectory === null ? null : join(configDirectory, 'queries')
  const folder = queryDirectory === null ? undefined : await loadQueries(queryDirectory)
  const host = createQueryHost({
    queries: [...(folder?.queries ?? []), ...(options.queries ?? [])],
    dataDirectory: directory.path,
    source: eventSource(parts, directory.databasePath),
    clock,
    log,
    history: init.history,
  })
  await host.start()
  const watch =
    queryDirectory === null || folder === undefined
      ? undefined
      : watchQueries({ directory: queryDirectory, folder, host, clock, log })
  await watch?.ready
  return {
    names: () => host.status().map(({ name }) => name),
    status: () => host.status(),
    deliver: message => host.deliver(message),
    problems: () => watch?.problems() ?? [],
    api: {
      list: () => Promise.resolve(host.status()),
      rebuild: async name => host.rebuild(name),
      pause: name => host.pause(name),
      resume: async name => host.resume(name),
    },
    ask: (name, question, parameters, { timeoutMs = askTimeoutMs, signal, after }) =>
      host.ask(name, question, parameters, {
        timeoutMs: checkPositive('timeoutMs', timeoutMs),
        signal,
        after,
      }),
    host,
    async close() {
      await watch?.close()
      await host.close()
    },
  }
}

/** Workers read the log by themselves only where events need no lifting: the chains are functions of this thread. */
function eventSource(
  { feed: sealed, sharedFeed, erasure, lifter }: NodeParts,
  databasePath: string | null,
): EventSource {
  const feed = openingFeed(sealed, erasure.cipher)
  const readLifted: EventSource['read'] = async (...args) => {
    const { events, throughIndex } = await feed.read(...args)
    return { events: lifter.lift(events), throughIndex }
  }
  return {
    heads: feed.heads,
    onAdvance: feed.onAdvance,
    read: lifter.isNeeded ? readLifted : feed.read,
    localLog:
      // The database of a node on a shared store holds no events.
      databasePath === null || sharedFeed !== undefined || lifter.isNeeded
        ? null
        : {
            path: databasePath,
            readerModule: new URL(`./log-reader${extname(import.meta.url)}`, import.meta.url).href,
            readableThrough: feed.readableThrough,
          },
  }
}
