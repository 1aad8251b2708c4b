// `subscribers`: which nodes run which queries.
import { Command } from 'commander'
import type { NodeSubscribers } from '../../node/node-api.ts'
import { type CommandContext, createPaint, type Io, write, writeJson } from '../io.ts'
import { parseDuration } from '../parse-arguments.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node subscribers
  $ glyn-node subscribers --json | jq '.[] | select(.state == "unknown").name'

Asks every member. One that does not answer in time is listed as unknown: it may run queries all the same.`

interface SubscribersFlags extends TargetFlags {
  readonly timeout: string
  readonly json?: boolean
}

export function createSubscribersCommand({ io }: CommandContext): Command {
  const command = new Command('subscribers')
    .description('Shows which nodes run which queries.')
    .option('--timeout <duration>', 'how long to wait for each node', '2s')
    .option('--json', 'one JSON array')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (flags: SubscribersFlags) => {
    const timeoutMs = parseDuration('--timeout', flags.timeout)
    await withControlClient(io, flags, async client => {
      const nodes = await client.subscribers({ timeoutMs })
      if (flags.json === true) await writeJson(io.stdout, nodes)
      else await write(io.stdout, formatNodes(io, nodes))
    })
  })
}

function formatNodes(io: Io, nodes: readonly NodeSubscribers[]): string {
  const paint = createPaint(io, io.stdout)
  return formatTable(
    io,
    ['node', 'peer id', 'query', 'version', 'state', 'behind', 'note'],
    nodes.flatMap(({ name, peerId, state, queries, error }) => {
      if (state === 'unknown') return [[name, peerId, '', '', paint('red', 'unknown'), '', error ?? '']]
      if (queries.length === 0) return [[name, peerId, '', '', 'no queries', '', '']]
      return queries.map(query => [
        name,
        peerId,
        query.name,
        String(query.version),
        query.state === 'running' ? query.state : paint('yellow', query.state),
        String(query.lag),
        query.messages === undefined ? '' : formatMessages(query.messages),
      ])
    }),
  )
}

function formatMessages({
  handled,
  failed,
  dropped,
}: {
  readonly handled: number
  readonly failed: number
  readonly dropped: number
}): string {
  const parts = [`${handled} ${handled === 1 ? 'message' : 'messages'} handled`]
  if (failed > 0) parts.push(`${failed} failed`)
  if (dropped > 0) parts.push(`${dropped} dropped`)
  return parts.join(', ')
}
