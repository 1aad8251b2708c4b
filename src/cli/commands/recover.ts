// `recover`: what is left goes on alone, after a majority is lost for good. Offline, explicit and loud.

import { resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { GroupPlan, RecoveryPlan } from '../../node/recovery-plan.ts'
import { type CommandContext, createPaint, type Io, write, writeJson, writeLine } from '../io.ts'
import { createStderrLog } from '../stderr-log.ts'
import { formatTable } from '../table.ts'

const examples = `
Examples:
  $ glyn-node recover --data-dir ./node-3                               shows what would be kept, and asks
  $ glyn-node recover --data-dir ./node-3 --data-dir ./node-4           several nodes are left: give all of them
  $ glyn-node recover --data-dir ./node-3 --i-accept-data-loss

THIS LOSES DATA. What was acknowledged and rests only on the nodes that are not given is gone, and so is the promise
that an acknowledged command is never lost. Use it only when those nodes can never come back: as long as their disks
can be saved, save them and start the nodes again.

All nodes must be stopped. Every member whose directory is not given is removed for ever, also if it is alive; it can
join again with an empty directory. Where the given nodes are a majority nothing is changed. Elsewhere the replica that
is furthest ahead goes on alone. Start the nodes as always afterwards; add new ones, and the replicas spread again.
docs/operations.md tells more.`

export interface RecoverFlags {
  readonly dataDir: readonly string[]
  readonly iAcceptDataLoss?: boolean
  readonly json?: boolean
}

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]

export function createRecoverCommand({ io }: CommandContext): Command {
  return new Command('recover')
    .description('Goes on with the nodes that are left, after a majority is lost for good. LOSES DATA.')
    .requiredOption('--data-dir <dir>', 'of a stopped node that is left; several times', collect)
    .option('--i-accept-data-loss', 'do it without asking')
    .option('--json', 'the plan as one JSON object')
    .addHelpText('after', examples)
    .action(async (flags: RecoverFlags) => {
      const { recoverDirectories } = await import('../../node/recover-directories.ts')
      const { plan, isDone } = await recoverDirectories(
        flags.dataDir.map(path => resolve(io.cwd, path)),
        {
          log: createStderrLog(io, { level: 'warn' }),
          confirm: plan => confirm(io, plan, flags),
          timeMs: () => Date.now(),
        },
      )
      if (flags.json === true) return await writeJson(io.stdout, { recovered: isDone, ...plan })
      await writeLine(
        io.stdout,
        isDone ? doneText(plan) : 'Nothing was changed: every group has its majority.',
      )
    })
}

async function confirm(io: Io, plan: RecoveryPlan, flags: RecoverFlags): Promise<boolean> {
  if (flags.json !== true) await write(io.stderr, formatPlan(io, plan))
  if (flags.iAcceptDataLoss === true) return true
  const word = plan.clusterId.slice(-6)
  if (io.stdin.isTTY === true && flags.json !== true) {
    const line = createInterface({ input: io.stdin, output: io.stderr })
    const answer = await line.question(`To do it, type the last six characters of the cluster id (${word}): `)
    line.close()
    if (answer.trim() === word) return true
  }
  throw new GlynError(
    'INVALID_ARGUMENT',
    'nothing was changed: recover loses data, and wants --i-accept-data-loss, or the cluster id typed on a terminal',
    { details: plan },
  )
}

function formatPlan(io: Io, plan: RecoveryPlan): string {
  const paint = createPaint(io, io.stderr)
  const nameOf = (peerId: string | null): string =>
    plan.survivors.find(survivor => survivor.peerId === peerId)?.name ?? ''
  const people = (nodes: readonly { readonly name: string; readonly peerId: string }[]): string =>
    nodes.length === 0 ? 'none' : nodes.map(({ name, peerId }) => `${name} (${peerId})`).join(', ')
  const rows = plan.groups.map(group => [
    group.partition === 0 ? '0, controller' : String(group.partition),
    `${group.votersLeft} of ${group.voters}`,
    whatHappens(group, nameOf),
    group.action === 'begin-anew' ? '' : String(group.lastIndex),
    group.action === 'begin-anew' ? '' : String(group.commitIndex),
    group.action === 'begin-anew' ? '' : String(group.lastTerm),
    group.shorter.map(({ peerId, lastIndex }) => `${nameOf(peerId)} ends at ${lastIndex}`).join(', '),
  ])
  const anew = plan.groups.filter(({ action }) => action === 'begin-anew').length
  const former = plan.groups.filter(({ isFormer }) => isFormer).length
  return [
    `cluster  ${plan.clusterId}\n`,
    `left     ${people(plan.survivors)}\n`,
    `${paint('red', 'lost')}     ${people(plan.lost)}: removed for ever\n\n`,
    formatTable(
      io,
      ['partition', 'voters left', 'goes on', 'last index', 'known committed', 'term', 'others'],
      rows,
    ),
    `\n${paint('red', 'What was acknowledged beyond "last index" is lost.')} Nobody can tell from here how much that is.\n`,
    'What lies between "known committed" and "last index" is kept, also where it was never acknowledged.\n',
    former === 0
      ? ''
      : `${paint('red', `Of ${former} partitions only a replica is left that they had moved away from`)}: all since then is lost.\n`,
    anew === 0
      ? ''
      : `${paint('red', `No replica is left of ${anew} partitions: they begin anew, empty.`)}\n`,
  ].join('')
}

function whatHappens(
  { action, holder, isFormer }: GroupPlan,
  nameOf: (peerId: string | null) => string,
): string {
  switch (action) {
    case 'keep':
      return 'as it is'
    case 'recover':
      return `alone on ${nameOf(holder)}${isFormer ? ', which held it EARLIER' : ''}`
    case 'begin-anew':
      return `anew on ${nameOf(holder)}, EMPTY`
  }
}

function doneText({ groups, lost }: RecoveryPlan): string {
  const count = groups.filter(({ action }) => action !== 'keep').length
  const removed = lost.length === 0 ? '' : ` ${lost.map(({ name }) => name).join(', ')} can never come back.`
  return `Recovered ${count} of ${groups.length} groups. Start the nodes that are left as always.${removed} Queries build their read models again.`
}
