// `explain`: where an aggregate lives, why there, and how far everything is that has to do with it.
import { Command } from 'commander'
import type { Explanation, LeadershipChange, ReplicaExplanation } from '../../node/explanation.ts'
import { type CommandContext, createPaint, type Io, write, writeJson } from '../io.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node explain bank_account acc-1
  $ glyn-node explain bank_account acc-1 --json | jq '.replicas[] | {name, behind}'

It asks every node that can be reached, and works without a leader too. The aggregate need not exist yet.`

/** Changes of leadership that people are shown; --json has all that is kept. */
const changesShownMax = 8

export function createExplainCommand({ io }: CommandContext): Command {
  const command = new Command('explain')
    .description('Shows where an aggregate lives, why there, and how far its replicas and queries are.')
    .argument('<type>', 'the type of the aggregate, such as bank_account')
    .argument('<id>', 'its id')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(
    async (type: string, id: string, flags: TargetFlags & { readonly json?: boolean }) => {
      await withControlClient(io, flags, async client => {
        const explanation = await client.explain(type, id)
        if (flags.json === true) await writeJson(io.stdout, explanation)
        else await write(io.stdout, formatExplanation(io, explanation))
      })
    },
  )
}

function formatExplanation(io: Io, explanation: Explanation): string {
  const paint = createPaint(io, io.stdout)
  const { aggregate, partition, partitions, leader, term, commitIndex, pending, queries, problems } =
    explanation
  const elected = explanation.changes.find(
    change => change.type === 'elected' && change.peerId === leader?.peerId && change.term === term,
  )
  const since = elected === undefined ? '' : `, since ${clockTime(elected.time)}`
  const lines = [
    paint('bold', `${aggregate.type}/${aggregate.id}`),
    `partition  ${partition} of ${partitions}, by a hash of the type and the id`,
    leader === null
      ? `leader     ${paint('red', 'none')}, term ${term}`
      : `leader     ${paint('bold', leader.name)} ${leader.peerId}, term ${term}${since}`,
    `committed  index ${commitIndex}`,
    `pending    ${pendingInWords(pending)}`,
    ...pending.oldest.map(
      ({ aggregate: of, commandId, index }) =>
        `           index ${index}: ${of.type}/${of.id}, command ${commandId}`,
    ),
  ]
  const parts = [
    `${lines.join('\n')}\n`,
    formatReplicas(io, explanation),
    `${paint('bold', 'why there')}\n${explanation.why.map(sentence => `${sentence}\n`).join('')}`,
    formatChanges(io, explanation.changes),
  ]
  if (queries.length > 0) {
    const rows = queries.map(({ name, node, state, position, behind }) => [
      name,
      node,
      state === 'running' ? state : paint('yellow', state),
      String(position),
      String(behind),
    ])
    parts.push(formatTable(io, ['query', 'on', 'state', 'index', 'behind'], rows))
  }
  if (explanation.quarantined !== null) parts.push(formatQuarantined(io, explanation.quarantined))
  parts.push(
    problems.length === 0
      ? `${paint('green', 'No problems with this partition.')}\n`
      : problems.map(problem => `${paint('yellow', 'problem:')} ${problem}\n`).join(''),
  )
  return parts.join('\n')
}

function formatQuarantined(
  io: Io,
  { sequence, eventType, version, reason, since }: NonNullable<Explanation['quarantined']>,
): string {
  const paint = createPaint(io, io.stdout)
  return `${paint('red', 'quarantined')} since ${clockTime(since)}: it takes no commands. Event ${sequence}, ${eventType} v${version}: ${reason}\n`
}

function pendingInWords({ commands, reads }: Explanation['pending']): string {
  if (commands + reads === 0) return 'nothing'
  const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`
  return `${count(commands, 'command')} and ${count(reads, 'read')}`
}

function formatReplicas(io: Io, { replicas, ranking }: Explanation): string {
  const rankOf = (peerId: string): string => {
    const rank = ranking.find(node => node.peerId === peerId)?.rank
    return rank === undefined ? '' : String(rank)
  }
  return formatTable(
    io,
    ['replica', 'seat', 'rank', 'index', 'behind', 'contact', 'peer id'],
    replicas.map(replica => [
      replica.name,
      seatInWords(replica),
      rankOf(replica.peerId),
      replica.matchIndex === null ? '?' : String(replica.matchIndex),
      replica.behind === null ? '?' : String(replica.behind),
      contactInWords(io, replica),
      replica.peerId,
    ]),
  )
}

function seatInWords({ seat, isLeader, isWanted }: ReplicaExplanation): string {
  const leads = isLeader ? 'leader, ' : ''
  return `${leads}${seat}${isWanted ? '' : ', on its way out'}`
}

function contactInWords(io: Io, { isReachable, unreachableSince, isActive }: ReplicaExplanation): string {
  const paint = createPaint(io, io.stdout)
  if (!isReachable) return paint('red', `none since ${clockTime(unreachableSince ?? '')}`)
  return isActive ? 'yes' : paint('yellow', 'connected, not heard by a leader')
}

function formatChanges(io: Io, changes: readonly LeadershipChange[]): string {
  const paint = createPaint(io, io.stdout)
  const shown = changes.slice(0, changesShownMax)
  const lines = shown.map(({ time, term, name, type, reason }) => {
    const what = { elected: 'elected', 'stepped-down': 'stepped down', stood: 'stood for election' }[type]
    const why = reason.replace(/^elected in term \d+: /, '')
    return `${clockTime(time)}  term ${term}  ${name} ${what}: ${why}\n`
  })
  const more = changes.length - shown.length
  const rest = more > 0 ? `${more} earlier with --json\n` : ''
  const none = shown.length === 0 ? 'none since these nodes run\n' : ''
  return `${paint('bold', 'changes of leadership')}\n${lines.join('')}${rest}${none}`
}

/** `2026-01-31 08:31:04.120` in UTC. */
const clockTime = (iso: string): string => iso.replace('T', ' ').replace('Z', '')
