// `status`: the node, its cluster, its queries, handlers and processes, and what is wrong with them.
import { Command } from 'commander'
import type { NodeStatus } from '../../node/node-api.ts'
import { type CommandContext, createPaint, type Io, write, writeJson } from '../io.ts'
import { removedInWords } from '../removed-in-words.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node status
  $ glyn-node status --json | jq '.partitions[] | select(.leader == null)'`

export function createStatusCommand({ io }: CommandContext): Command {
  const command = new Command('status')
    .description('Shows the node, its cluster, queries, handlers and processes, and what is wrong with them.')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (flags: TargetFlags & { readonly json?: boolean }) => {
    await withControlClient(io, flags, async client => {
      const status = await client.status()
      if (flags.json === true) await writeJson(io.stdout, status)
      else await write(io.stdout, formatStatus(io, status))
    })
  })
}

function formatStatus(io: Io, status: NodeStatus): string {
  const paint = createPaint(io, io.stdout)
  const { node, cluster, partitions, queries, problems } = status
  const names = new Map(status.members.map(member => [member.peerId, member.name]))
  const leaderless = partitions.filter(partition => partition.leader === null)
  const led = partitions.filter(partition => partition.leader === node.peerId)
  const isFine = problems.length === 0
  const parts = [
    `node       ${paint('bold', node.name)} ${node.peerId}, ${node.state}, up ${formatSeconds(node.uptimeSeconds)}, version ${node.version}\n`,
    `store      ${status.store.location}${status.store.type === 'shared' ? ', shared by all nodes' : ''}\n`,
    `cluster    ${cluster.id}, topic ${cluster.topic}, scope ${cluster.scope}\n`,
    `partitions ${cluster.partitions} and the controller, up to ${cluster.replicas} voters each; this node leads ${led.length}; ` +
      (leaderless.length === 0
        ? 'all have a leader\n'
        : `${paint('red', `without a leader: ${leaderless.map(({ id }) => id).join(' ')}`)}\n`),
    `\n${formatMembers(io, status, names)}`,
  ]
  if (queries.length > 0) parts.push(`\n${formatQueries(io, status)}`)
  if (status.reactions.length > 0) parts.push(`\n${formatReactions(io, status)}`)
  parts.push(
    isFine
      ? `\n${paint('green', 'No problems.')} Every partition has its replicas and a leader, and every query keeps up.\n`
      : `\n${problems.map(problem => `${paint('yellow', 'problem:')} ${problem}\n`).join('')}`,
  )
  return parts.join('')
}

function formatMembers(io: Io, status: NodeStatus, names: ReadonlyMap<string, string>): string {
  const paint = createPaint(io, io.stdout)
  const countLed = (peerId: string): number =>
    status.partitions.filter(partition => partition.leader === peerId).length
  const present = status.members.filter(({ state }) => state !== 'removed')
  const removed = status.members.length - present.length
  const table = formatTable(
    io,
    ['member', 'peer id', 'state', 'role', 'leads', 'addresses'],
    present.map(member => [
      `${names.get(member.peerId) ?? ''}${member.peerId === status.node.peerId ? ' (this)' : ''}`,
      member.peerId,
      member.reachable ? member.state : paint('red', `${member.state}, not reachable`),
      member.role,
      String(countLed(member.peerId)),
      member.addresses.join('\n'),
    ]),
  )
  return removed === 0 ? table : `${table}${paint('dim', removedInWords(removed))}\n`
}

function formatQueries(io: Io, { queries }: NodeStatus): string {
  const paint = createPaint(io, io.stdout)
  return formatTable(
    io,
    ['query', 'version', 'state', 'behind', 'last error'],
    queries.map(query => [
      query.name,
      String(query.version),
      query.state === 'running' ? query.state : paint('yellow', query.state),
      String(query.lag),
      query.lastError === null ? '' : `${query.lastError.message} (${query.lastError.time})`,
    ]),
  )
}

function formatReactions(io: Io, { reactions }: NodeStatus): string {
  const paint = createPaint(io, io.stdout)
  return formatTable(
    io,
    ['reaction', 'kind', 'state', 'runs for', 'behind', 'timers', 'last error'],
    reactions.map(({ name, kind, state, partitions, lag, timers, lastError }) => [
      name,
      kind,
      state === 'running' ? state : paint('yellow', state),
      `${partitions} partitions`,
      String(lag),
      kind === 'process' ? String(timers) : '',
      lastError === null ? '' : `${lastError.message} (${lastError.time})`,
    ]),
  )
}

function formatSeconds(seconds: number): string {
  const days = Math.floor(seconds / 86_400)
  const hours = Math.floor((seconds % 86_400) / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  if (days > 0) return `${days}d ${hours}h`
  if (hours > 0) return `${hours}h ${minutes}m`
  return minutes > 0 ? `${minutes}m ${Math.floor(seconds % 60)}s` : `${Math.floor(seconds)}s`
}
