// `keygen`: the secret that only the nodes of one mesh have.
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { createSwarmKey } from '../../node/swarm-key.ts'
import { type CommandContext, writeJson, writeLine } from '../io.ts'

const examples = `
Examples:
  $ glyn-node keygen                       writes swarm.key
  $ glyn-node keygen /etc/glyn/swarm.key
  $ glyn-node start --topic bank_events --listen /ip4/0.0.0.0/tcp/4001 --secret-file swarm.key

Copy the file to every node over a channel you trust. Who has it can join.`

export function createKeygenCommand({ io }: CommandContext): Command {
  return new Command('keygen')
    .description(
      'Makes the secret that the nodes of a cluster share; without it no node listens beyond loopback.',
    )
    .argument('[file]', 'where to write it; must not exist', 'swarm.key')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
    .action(async (file: string, flags: { readonly json?: boolean }) => {
      const path = resolve(io.cwd, file)
      try {
        await writeFile(path, createSwarmKey(), { flag: 'wx', mode: 0o600 })
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException
        const text =
          code === 'EEXIST'
            ? `${file} exists and is not overwritten: nodes may be using it; name another file`
            : `${file} cannot be written: ${message}`
        throw new GlynError('INVALID_ARGUMENT', text, { cause })
      }
      if (flags.json === true) return await writeJson(io.stdout, { file: path })
      await writeLine(
        io.stdout,
        `wrote ${file}; copy it to every node and start them with --secret-file ${file}`,
      )
    })
}
