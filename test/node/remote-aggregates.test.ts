// What a leader takes from others: from nodes everything, from clients no command that reactions of nodes send each other.
import t from 'tap'
import type { CommandEnvelope } from '../../src/core/command.ts'
import type { Rpc } from '../../src/mesh/rpc.ts'
import { createRemoteAggregates, serveAggregates } from '../../src/node/remote-aggregates.ts'

/** Requests of `from` to a leader that accepts whatever reaches it. */
function connect(from: string) {
  const served = new Map<string, (from: string, body: Uint8Array) => unknown>()
  const taken: CommandEnvelope[] = []
  const rpc = {
    serve: (method: string, handler: (from: string, body: Uint8Array) => unknown) =>
      served.set(method, handler),
    request: async (_peer: string, method: string, body: Uint8Array) =>
      await served.get(method)?.(from, body),
  } as unknown as Rpc
  serveAggregates(rpc, {
    host: {
      execute(_partition: number, command: CommandEnvelope) {
        taken.push(command)
        return Promise.resolve({ type: 'accepted' })
      },
    } as never,
    checkPartition() {},
    leaderWait: { run: (_partition: number, action: () => unknown) => action() } as never,
    isMember: peerId => peerId === 'node',
  })
  const remote = createRemoteAggregates(rpc)
  const execute = (command: Partial<CommandEnvelope>) =>
    remote.execute(
      'leader',
      1,
      {
        aggregate: { type: 'counter', id: 'a' },
        command: { type: 'Add', data: {} },
        commandId: 'c',
        metadata: {},
        ...command,
      },
      1000,
    )
  return { execute, taken }
}

const ofNodes: Readonly<Record<string, Partial<CommandEnvelope>>> = {
  'aggregate type is "glyn.reactions"': { aggregate: { type: 'glyn.reactions', id: '1.1' } },
  'command id is "glyn:out/x/1.0/a"': { commandId: 'glyn:out/x/1.0/a' },
  'keepsOutcome is set': { keepsOutcome: true },
}

for (const [what, command] of Object.entries(ofNodes)) {
  t.test(`${what}: from a node, and from nobody else`, async t => {
    const client = connect('client')
    await t.rejects(client.execute(command), { code: 'INVALID_ARGUMENT', message: new RegExp(`^${what}`) })
    t.strictSame(client.taken, [])
    const node = connect('node')
    await node.execute(command)
    t.match(node.taken, [command])
  })
}

t.test('a client sends commands as ever', async t => {
  const client = connect('client')
  await client.execute({})
  t.equal(client.taken.length, 1)
})
