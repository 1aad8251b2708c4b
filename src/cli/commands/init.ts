// `init`: a config folder to start from, the bank of the documentation.
import { access, copyFile, readdir } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { makeDirectory } from '../../node/make-directory.ts'
import { type CommandContext, writeJson, writeLine } from '../io.ts'

const examples = `
Examples:
  $ glyn-node init            makes ./config
  $ glyn-node init my-bank    makes ./my-bank/config`

/** Lies beside bin/ and dist/ in the package, and is what a checkout runs with. */
const template = fileURLToPath(new URL('../../../config', import.meta.url))

export function createInitCommand({ io }: CommandContext): Command {
  return new Command('init')
    .description('Makes a config folder with a bank account, two queries and glyn.yaml.')
    .argument('[dir]', 'the folder to make it in', '.')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
    .action(async (dir: string, flags: { readonly json?: boolean }) => {
      const target = join(resolve(io.cwd, dir), 'config')
      const files = await listFiles(template)
      const existing = await filterExisting(files.map(file => join(target, file)))
      if (existing.length > 0) {
        const names = existing.map(file => relative(io.cwd, file))
        throw new GlynError(
          'INVALID_ARGUMENT',
          `nothing was written, because these files exist: ${names.join(', ')}; move them away or name another folder`,
          { details: { existing: names } },
        )
      }
      for (const file of files) {
        makeDirectory(dirname(join(target, file)), { what: 'the folder' })
        await copyFile(join(template, file), join(target, file))
      }
      const shown = files.map(file => join(relative(io.cwd, target) || '.', file))
      if (flags.json === true) return await writeJson(io.stdout, { config: target, files: shown })
      await writeLine(
        io.stdout,
        `wrote ${shown.join('\n      ')}

Next:
  ${dir === '.' ? '' : `cd ${dir} && `}glyn-node start
and in another terminal:
  glyn-node send-command bank_account acc-1 OpenAccount
  glyn-node send-command bank_account acc-1 DepositMoney amount:=100
  glyn-node query balance get id=acc-1`,
      )
    })
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile() && /\.(ts|js|mjs|yaml)$/.test(entry.name))
    .map(entry => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

async function filterExisting(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map(path =>
      access(path).then(
        () => [path],
        () => [],
      ),
    ),
  )
  return found.flat()
}
