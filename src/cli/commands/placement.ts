// `placement`: a picture of which node holds which partition.
import { Command } from 'commander'
import type { PlacementStatus } from '../../node/node-api.ts'
import { type CommandContext, createPaint, type Io, write, writeJson } from '../io.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node placement
  $ glyn-node placement --json | jq '.nodes[] | {name, leads}'`

/** Width of the longest bar. */
const barColumns = 32
/** Moves that are named one by one. */
const movesShownMax = 10
/** Partitions beside each other in one block of the picture. */
const blockColumns = 64

export function createPlacementCommand({ io }: CommandContext): Command {
  const command = new Command('placement')
    .description(
      'Shows which node leads, votes on and learns which partition. Partition 0 is the controller.',
    )
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (flags: TargetFlags & { readonly json?: boolean }) => {
    await withControlClient(io, flags, async client => {
      const placement = await client.placement()
      if (flags.json === true) await writeJson(io.stdout, placement)
      else await write(io.stdout, formatPlacement(io, placement))
    })
  })
}

function formatPlacement(io: Io, placement: PlacementStatus): string {
  const { partitions, nodes } = placement
  const paint = createPaint(io, io.stdout)
  const width = Math.max(4, ...nodes.map(node => node.name.length))
  const blocks: string[] = []
  for (let first = 0; first < partitions.length; first += blockColumns) {
    const columns = partitions.slice(first, first + blockColumns)
    const tens = columns.map(({ id }) => (id % 10 === 0 ? String(Math.floor(id / 10) % 10) : ' ')).join('')
    const ones = columns.map(({ id }) => String(id % 10)).join('')
    const rows = nodes.map(node => {
      const marks = columns.map(column => markOf(node.peerId, column)).join('')
      const isLast = first + blockColumns >= partitions.length
      const counts = isLast ? `  leads ${node.leads}, votes ${node.votes}, learns ${node.learns}` : ''
      return `${node.name.padEnd(width)}  ${marks}${paint('dim', counts)}`
    })
    blocks.push(
      [
        paint('dim', `${' '.repeat(width)}  ${tens}`),
        paint('dim', `${' '.repeat(width)}  ${ones}`),
        ...rows,
      ].join('\n'),
    )
  }
  const legend = paint('dim', 'L leads, v votes, l learns, · holds none; ? says that no leader is known')
  return `${blocks.join('\n\n')}\n\n${legend}\n\n${formatSpread(io, placement)}\n${formatMoves(io, placement)}`

  function markOf(peerId: string, partition: PlacementStatus['partitions'][number]): string {
    if (partition.leader === peerId) return paint('green', 'L')
    if (partition.voters.includes(peerId)) return partition.leader === null ? paint('red', '?') : 'v'
    return partition.learners.includes(peerId) ? 'l' : paint('dim', '·')
  }
}

/** A bar for each node: what it leads, then what else it holds. */
function formatSpread(io: Io, { nodes }: PlacementStatus): string {
  const paint = createPaint(io, io.stdout)
  const width = Math.max(4, ...nodes.map(node => node.name.length))
  const most = Math.max(1, ...nodes.map(({ votes, learns }) => votes + learns))
  const columns = (count: number): number => Math.round((count / most) * Math.min(most, barColumns))
  return nodes
    .map(({ name, leads, votes, learns, wantedLeads, wantedReplicas }) => {
      const held = votes + learns
      const led = Math.min(columns(held), columns(leads))
      const bar = `${paint('green', '█'.repeat(led))}${'▒'.repeat(columns(held) - led)}`
      const space = ' '.repeat(columns(most) - columns(held))
      const replicas = `replicas ${held}${held === wantedReplicas ? '' : paint('yellow', ` of ${wantedReplicas} wanted`)}`
      const leaderships = `leaderships ${leads}${leads === wantedLeads ? '' : paint('yellow', `, wanted ${wantedLeads}`)}`
      return `${name.padEnd(width)}  ${bar}${space}  ${replicas}, ${leaderships}\n`
    })
    .join('')
}

function formatMoves(io: Io, { moves, asWanted }: PlacementStatus): string {
  const paint = createPaint(io, io.stdout)
  if (asWanted) return `${paint('green', 'Everything is where it belongs.')}\n`
  if (moves.length === 0)
    return 'Nothing moves; leaderships go to their preferred nodes, or places are being planned.\n'
  const lines = moves
    .slice(0, movesShownMax)
    .map(({ partition, name, from, to }) => `  partition ${partition} on ${name}: ${from} → ${to}\n`)
  const more = moves.length > movesShownMax ? `  and ${moves.length - movesShownMax} more\n` : ''
  return `on their way to where they belong:\n${lines.join('')}${more}`
}
