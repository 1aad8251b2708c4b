// `members`: who belongs to the cluster, and who shall no longer.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { type CommandContext, createPaint, write, writeJson, writeLine } from '../io.ts'
import { removedInWords } from '../removed-in-words.ts'
import { suggesting } from '../suggest.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node members
  $ glyn-node members --all                              with those that were removed
  $ glyn-node members remove 12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X

A node that stopped or died keeps its seats until it comes back. Remove one that never will: its identity is refused for
ever, and its seats go to others.`

type MembersFlags = TargetFlags & { readonly all?: boolean; readonly json?: boolean }

export function createMembersCommand({ io }: CommandContext): Command {
  const members = new Command('members')
    .description('Lists the members of the cluster, or removes one for ever.')
    .option('--all', 'also those that were removed')
    .option('--json', 'one JSON array, of all')
    .allowExcessArguments()
    .addHelpText('after', examples)
  addTargetOptions(members).action(async (flags: MembersFlags) => {
    const [other] = members.args
    if (other !== undefined) {
      const text = `members has no command ${JSON.stringify(other)}; allowed: remove <peer-id>, or nothing to list them`
      throw new GlynError('INVALID_ARGUMENT', text)
    }
    await withControlClient(io, flags, async client => {
      const status = await client.status()
      if (flags.json === true) return await writeJson(io.stdout, status.members)
      const paint = createPaint(io, io.stdout)
      const present = status.members.filter(({ state }) => flags.all === true || state !== 'removed')
      const rows = present.map(member => [
        member.name,
        member.peerId,
        member.state,
        member.role,
        member.state === 'removed' ? '' : member.reachable ? 'yes' : paint('red', 'no'),
        member.addresses.join('\n'),
      ])
      await write(
        io.stdout,
        formatTable(io, ['name', 'peer id', 'state', 'role', 'reachable', 'addresses'], rows),
      )
      const hidden = status.members.length - present.length
      if (hidden > 0) await writeLine(io.stdout, paint('dim', removedInWords(hidden)))
    })
  })

  members
    .command('remove')
    .description('Removes a member for ever: its identity can never come back.')
    .argument('<peer-id>', 'as `glyn-node members` shows it')
    .action(async (peerId: string, _: object, command: Command) => {
      const flags = command.optsWithGlobals<MembersFlags>()
      await withControlClient(io, flags, async client => {
        await suggesting({ ENTITY_NOT_FOUND: peerId }, client.removeMember(peerId))
        if (flags.json === true) await writeJson(io.stdout, { removed: peerId })
        else await writeLine(io.stdout, `removed ${peerId}; its seats go to other members`)
      })
    })
  return members
}
