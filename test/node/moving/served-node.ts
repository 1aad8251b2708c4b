// A node on disk with its control socket, as `glyn-node start` makes it, in this process.
import { join } from 'node:path'
import type { Test } from 'tap'
import type { AnyAggregate } from '../../../src/core/aggregate.ts'
import { silentLog } from '../../../src/core/log.ts'
import { createControlServer } from '../../../src/http/control-server.ts'
import { createNode } from '../../../src/node/create-node.ts'
import type { NodeApi } from '../../../src/node/node-api.ts'
import type { NodeOptions } from '../../../src/node/node-options.ts'
import { counter } from '../memory-cluster.ts'

export interface ServedNode {
  readonly node: NodeApi
  readonly dataDir: string
  close(): Promise<void>
}

export async function serveNode(
  t: Test,
  dataDir: string,
  options: Partial<NodeOptions> & { readonly aggregates?: readonly AnyAggregate[] } = {},
): Promise<ServedNode> {
  const node = await createNode({
    topic: 'test',
    dataDirectory: dataDir,
    aggregates: [counter],
    partitions: 2,
    ...options,
  })
  const server = await createControlServer({
    node,
    socketPath: join(dataDir, 'control.sock'),
    log: silentLog,
  })
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    await server.close()
    await node.close()
  }
  const served = {
    node,
    dataDir,
    close() {
      closing ??= close()
      return closing
    },
  }
  t.teardown(() => served.close())
  return served
}
