// `stats`: what a node has counted, or what the history of one aggregate amounts to.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { AggregateStats, SystemStats } from '../../node/inspection.ts'
import { type CommandContext, createPaint, type Io, write, writeJson } from '../io.ts'
import { formatCount } from '../queries-table.ts'
import { suggesting } from '../suggest.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node stats                          the node: history on its disk, commands and questions since it runs
  $ glyn-node stats bank_account acc-1       one aggregate: sequence, size, first and last event, snapshot
  $ glyn-node stats --json | jq '.store.aggregates[] | {type, aggregates, events}'

What rests on the disk are the partitions with a replica on that node.`

export function createStatsCommand({ io }: CommandContext): Command {
  const command = new Command('stats')
    .description('Shows what a node has counted, or what the history of an aggregate amounts to.')
    .argument('[type]', 'of an aggregate, such as bank_account; the node itself when left out')
    .argument('[id]', 'its id')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(
    async (
      type: string | undefined,
      id: string | undefined,
      flags: TargetFlags & { readonly json?: boolean },
    ) => {
      if (type !== undefined && id === undefined)
        throw new GlynError(
          'INVALID_ARGUMENT',
          `the id of the ${type} is missing; allowed: stats <type> <id>`,
        )
      await withControlClient(io, flags, async client => {
        if (type === undefined || id === undefined) {
          const stats = await client.systemStats()
          return flags.json === true
            ? await writeJson(io.stdout, stats)
            : await write(io.stdout, ofNode(io, stats))
        }
        const stats = await suggesting({ UNKNOWN_AGGREGATE_TYPE: type }, client.aggregateStats(type, id))
        if (flags.json === true) await writeJson(io.stdout, stats)
        else await write(io.stdout, ofAggregate(io, stats))
      })
    },
  )
}

function ofNode(io: Io, { node, store, commands, queries, mesh, quarantined }: SystemStats): string {
  const paint = createPaint(io, io.stdout)
  const { accepted, replayed, rejected, failed, pending } = commands
  const lines = [
    `node       ${paint('bold', node.name)} ${node.peerId}, up ${node.uptimeSeconds} s, ${inBytes(node.memoryBytes)} of memory`,
    `store      ${formatCount(store.events)} events in ${formatCount(store.entries)} entries of ${store.partitions} partitions, ${inBytes(store.bytes)}, ${formatCount(store.commits)} commits`,
    `commands   ${formatCount(accepted)} accepted, ${formatCount(rejected)} rejected, ${formatCount(failed)} failed, ${formatCount(replayed)} replayed, ${pending} under way`,
    `queries    ${queries.running} of ${queries.total} running, ${formatCount(queries.lagMax)} behind; ${formatCount(queries.answered)} questions answered, ${formatCount(queries.failed)} failed`,
    `mesh       ${mesh.connected + 1} of ${mesh.members} members reachable; this node leads ${mesh.leads} partitions`,
    ...(quarantined === 0 ? [] : [paint('red', `quarantine ${quarantined} aggregates`)]),
  ]
  const rows = store.aggregates.map(({ type, aggregates, events, kinds }) => [
    type,
    formatCount(aggregates),
    formatCount(events),
    kinds.map(kind => `${kind.type} v${kind.version}: ${formatCount(kind.events)}`).join('\n'),
  ])
  const table =
    rows.length === 0 ? '' : `\n${formatTable(io, ['type', 'aggregates', 'events', 'kinds'], rows)}`
  return `${lines.join('\n')}\n${table}`
}

function ofAggregate(io: Io, stats: AggregateStats): string {
  const paint = createPaint(io, io.stdout)
  const {
    aggregate,
    position,
    leader,
    sequence,
    bytes,
    firstTime,
    lastTime,
    snapshot,
    pending,
    quarantined,
  } = stats
  const size = bytes === null ? 'too many to count their bytes' : inBytes(bytes)
  const lines = [
    paint('bold', `${aggregate.type}/${aggregate.id}`),
    `events     ${formatCount(sequence)}, ${size}`,
    `first      ${firstTime ?? ''}`,
    `last       ${lastTime ?? ''}`,
    `snapshot   ${
      snapshot === null
        ? 'none'
        : `sequence ${snapshot.sequence}, ${inBytes(snapshot.bytes)}, ${snapshot.time}${snapshot.isCurrent ? '' : ', ignored: made by other code'}`
    }`,
    `pending    ${pending} command${pending === 1 ? '' : 's'}`,
    `leader     ${leader.name} ${leader.peerId}, partition ${position.partition}`,
    ...(quarantined === null ? [] : [paint('red', `quarantined: ${quarantined.reason}`)]),
  ]
  return `${lines.join('\n')}\n`
}

function inBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
