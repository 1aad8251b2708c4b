// Exports, imports and restores that are killed in the middle, as processes: they go on, or are as if they never were.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createControlClient } from '../../src/http/control-client.ts'
import { plainly } from '../support/plainly.ts'
import { createWorkplace, eventually, type RealNode, repository, run, runJson } from './real-node.ts'

const commands = 6000
const accounts = 100
const attemptsMax = 20
const executable = join(repository, 'bin', 'glyn-node.js')

interface Summary {
  readonly events: number
  readonly commands: number
  readonly hash: string
  readonly resumedAfter: number
  readonly appended: number
  readonly there: number
}

/** Starts the command, and kills it as soon as the claim holds. False when it had ended before. */
async function killed(args: readonly string[], claim: () => Promise<boolean>): Promise<boolean> {
  const child: ChildProcess = spawn(...plainly(process.execPath, [executable, ...args]), { stdio: 'ignore' })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  while (child.exitCode === null && !(await claim())) await new Promise(resolve => setImmediate(resolve))
  child.kill('SIGKILL')
  await ended
  return child.signalCode === 'SIGKILL'
}

/** Kills until something was in the middle of it: on a busy machine it may be over before anybody looks. */
async function killedAtWork(kill: () => Promise<boolean>, undo: () => void): Promise<boolean> {
  for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
    if (await kill()) return true
    undo()
  }
  return false
}

const sizeOf = (file: string): number => (existsSync(file) ? statSync(file).size : 0)

/** Entries of all partitions: asked often, so through one connection. */
const eventsIn = async ({ ready }: RealNode): Promise<number> => {
  const client = createControlClient({ socketPath: ready.control })
  try {
    const { partitions } = await client.status()
    return partitions.reduce((sum, { id, commitIndex }) => sum + (id === 0 ? 0 : commitIndex), 0)
  } finally {
    await client.close()
  }
}

t.test('killed in the middle', { timeout: 600_000 }, async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const config = ['--config', join(repository, 'config'), '--partitions', '4']
  const a = await place.start('a', config)
  const file = (name: string): string => join(place.folder, name)
  const lines = Array.from({ length: commands }, (_, n) => {
    const aggregate = { type: 'bank_account', id: `acc-${n % accounts}`, commandId: `c-${n}` }
    const open = { ...aggregate, command: 'OpenAccount' }
    const deposit = {
      ...aggregate,
      command: 'DepositMoney',
      data: { amount: 1 + (n % 5) },
      metadata: { n: String(n) },
    }
    return JSON.stringify(n < accounts ? open : deposit)
  })
  writeFileSync(file('commands'), lines.join('\n'))
  const { code, stderr } = await run(['send-command', '--batch', file('commands'), '--data-dir', a.dataDir])
  t.equal(code, 0, stderr)
  const whole = await runJson<Summary>(['export', file('whole'), '--data-dir', a.dataDir])
  t.equal(whole.commands, commands)

  await t.test('an export goes on where it was, and is the same', async t => {
    const args = ['export', file('killed'), '--data-dir', a.dataDir]
    const kill = async (): Promise<boolean> =>
      (await killed(args, async () => sizeOf(file('killed.part')) > 300_000)) && !existsSync(file('killed'))
    t.ok(await killedAtWork(kill, () => rmSync(file('killed'))), 'it was killed at work')
    const summary = await runJson<Summary>(args)
    t.match(summary, { events: whole.events, hash: whole.hash })
    t.ok(summary.resumedAfter > 0, `${summary.resumedAfter} events were there`)
    t.match(await runJson(['import', '--check', file('killed')]), { hash: whole.hash })
  })

  const b = await place.start('b', ['--config', join(repository, 'config'), '--partitions', '3'])

  await t.test('an import goes on: every command is there once', async t => {
    const args = ['import', file('whole'), '--data-dir', b.dataDir]
    const start = await eventsIn(b)
    t.ok(await killed(args, async () => (await eventsIn(b)) > start + 100), 'it was killed at work')
    // The node itself, too: what it said is there has to be there.
    const again = runJson<Summary>(args)
    await eventually(async () => (await eventsIn(b)) > start + 3000, 'the second import has begun')
    await b.kill('SIGKILL')
    await b.restart()
    const summary = await again
    t.match(summary, { commands, hash: whole.hash })
    t.ok(summary.there > 0, `${summary.there} were there`)
    t.equal(summary.there + summary.appended, commands)
    t.match(await runJson(['export', file('back'), '--data-dir', b.dataDir]), { commands, hash: whole.hash })
    for (const id of ['acc-0', 'acc-57'])
      t.match(
        await runJson(['state', 'bank_account', id, '--data-dir', b.dataDir]),
        await runJson<{ state: object }>(['state', 'bank_account', id, '--data-dir', a.dataDir]).then(
          ({ state }) => ({ state }),
        ),
      )
  })

  await t.test('a restore that was killed starts no node, and begins anew', async t => {
    const backup = await runJson<Summary>(['backup', file('x.backup'), '--data-dir', a.dataDir])
    t.equal(backup.hash, whole.hash)
    const directory = file('restored')
    const args = ['restore', file('x.backup'), '--data-dir', directory]
    const wal = join(directory, 'glyn.db-wal')
    const kill = async (): Promise<boolean> =>
      (await killed(args, async () => sizeOf(wal) > 100_000)) && existsSync(join(directory, 'restoring.json'))
    t.ok(await killedAtWork(kill, () => rmSync(directory, { recursive: true })), 'it was killed at work')
    const start = ['start', '--topic', 'bank_events', '--data-dir', directory, ...config]
    t.match(await run(start), { code: 6, stderr: /holds half of a backup/ })
    t.match(await runJson(args), { hash: whole.hash })
    const restored = await place.start('restored', config)
    t.match(await runJson(['export', file('restored.ndjson'), '--data-dir', directory]), { hash: whole.hash })
    await restored.kill('SIGTERM')
  })

  await t.test('a backup that was killed leaves nothing that looks like one', async t => {
    const args = ['backup', file('y.backup'), '--data-dir', a.dataDir]
    const part = file('y.backup.part')
    // Whole but for its name it would be no half of one.
    const isHalf = (): boolean => sizeOf(part) > 0 && sizeOf(part) < 0.9 * sizeOf(file('x.backup'))
    const kill = async (): Promise<boolean> => (await killed(args, async () => sizeOf(part) > 0)) && isHalf()
    const undo = (): void => {
      for (const one of [part, file('y.backup')]) rmSync(one, { force: true })
    }
    t.ok(await killedAtWork(kill, undo), 'it was killed at work')
    t.notOk(existsSync(file('y.backup')))
    t.match(await run(['backup', 'verify', file('y.backup.part')]), {
      code: 1,
      stderr: /byte \d+, partition \d+, index \d+: /,
    })
    t.match(await runJson(args), { hash: whole.hash })
  })
})
