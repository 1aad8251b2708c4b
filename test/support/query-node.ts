// A whole node in this process, with its data directory, its config folder and its socket: for what people do with queries.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import type { NodeOptions } from '../../src/node/node-options.ts'
import { createFolder, type Ran, runCli } from './memory-io.ts'

/** A till takes any amount; `Poison` is an event that queries of tests fail at. */
const till = `
import { defineAggregate } from 'glyn-node'
export default defineAggregate({
  type: 'till',
  emptyState: {},
  handle: (state, command) => ({ type: command.type === 'Poison' ? 'Poisoned' : 'Paid', data: command.data }),
  apply: state => state,
})
`

export interface QueryNode {
  readonly node: NodeApi
  /** Its working directory: `data` and `config` are in it. */
  readonly folder: string
  readonly url: string
  /** A command line, by words. */
  cli(words: readonly string[], options?: Parameters<typeof runCli>[2]): Promise<Ran>
}

/** Closed when the test ends. */
export async function startQueryNode(
  t: Test,
  queries: Readonly<Record<string, string>>,
  options: Partial<NodeOptions> = {},
): Promise<QueryNode> {
  const folder = await createFolder(t)
  for (const [kind, files] of Object.entries({ aggregates: { 'till.ts': till }, queries })) {
    mkdirSync(join(folder, 'config', kind), { recursive: true })
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'config', kind, name), text)
  }
  mkdirSync(join(folder, 'data'))
  const node = await createNode({
    topic: 'test',
    dataDirectory: join(folder, 'data'),
    configDirectory: join(folder, 'config'),
    ...options,
  })
  t.teardown(() => node.close())
  const server = await createControlServer({
    node,
    socketPath: join(folder, 'data', 'control.sock'),
    tcp: { host: '127.0.0.1', port: 0 },
    log: silentLog,
  })
  t.teardown(() => server.close())
  return {
    node,
    folder,
    url: server.url ?? '',
    cli: (words, cliOptions) => runCli(folder, words, cliOptions),
  }
}
