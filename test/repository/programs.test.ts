// The programs of developers explain themselves: usage on --help, one line for a mistake.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))

const programs = [
  { file: 'bench/run.ts', usage: /^ {2}npm run bench .*\n/, wrong: ['--only', 'nothing'] },
  { file: 'test/sim/run.ts', usage: /^ {2}npm run sim -- --seed /, wrong: ['--seeds', 'many'] },
  { file: 'test/sim/find-planted-bugs.ts', usage: /^ {2}npm run sim:bugs /, wrong: ['--jobs', '0'] },
  { file: 'test/chaos/run.ts', usage: /^npm run chaos -- /, wrong: ['--fault', 'rain'] },
]

for (const { file, usage, wrong } of programs) {
  t.test(`${file} tells its usage, and mistakes in one line`, async t => {
    const run = (...flags: string[]) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, file), ...flags], {
        encoding: 'utf8',
        timeout: 60_000,
      })
      return { status, stdout, stderr }
    }
    t.match(run('--help'), { status: 0, stdout: usage, stderr: /^$/ })
    t.match(run('--hlep'), {
      status: 2,
      stdout: /^$/,
      stderr: /^Unknown option '--hlep'; allowed: --.*, --help\n$/,
    })
    const [flag = ''] = wrong
    t.match(run(...wrong), { status: 2, stdout: /^$/, stderr: new RegExp(`^${flag}.*; allowed: .*\n$`) })
    t.match(run('surplus'), { status: 2, stderr: /^Unexpected argument 'surplus'.*\n$/ })
  })
}
