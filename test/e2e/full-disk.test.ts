// The disk of one of three nodes is full: it hands over what it leads, says why, and ends. The others do not fail one
// command. With room again it comes back.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createControlClient } from '../../src/http/control-client.ts'
import { createWorkplace, eventually, settled } from './real-node.ts'

const mount = (...rest: string[]): boolean => spawnSync('mount', rest).status === 0

/** Why the test is skipped; false when it is not. */
function whyNoMount(): string | false {
  const folder = mkdtempSync(join(tmpdir(), 'glyn-mount-'))
  const isMounted = mount('-t', 'tmpfs', '-o', 'size=64k', 'glyn-test', folder)
  if (isMounted) spawnSync('umount', [folder])
  rmdirSync(folder)
  return !isMounted && 'this process may not mount file systems'
}

t.test(
  'a full disk takes one node, and no command with it',
  { timeout: 300_000, skip: whyNoMount() },
  async t => {
    const place = createWorkplace()
    const disk = join(place.folder, 'a')
    mkdirSync(disk)
    t.ok(mount('-t', 'tmpfs', '-o', 'size=32m', 'glyn-test', disk), 'a small disk')
    t.teardown(async () => {
      spawnSync('umount', ['-l', disk])
      await place.close()
    })
    const a = await place.start('a', ['--partitions', '32'])
    const contact = a.ready.addresses[0] ?? ''
    const b = await place.start('b', ['--bootstrap', contact])
    await place.start('c', ['--bootstrap', contact])
    await settled(a, 3)
    const client = createControlClient({ socketPath: b.ready.control })
    t.teardown(() => client.close())
    const ledByA = async (): Promise<number> =>
      (await client.status()).partitions.filter(({ leader }) => leader === a.ready.peerId).length
    t.ok((await ledByA()) > 0, 'it leads something')

    const ended = new Promise<number | null>(resolve => a.process.once('close', code => resolve(code)))
    const filler = join(disk, 'filler')
    t.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024 * 1024)), { code: 'ENOSPC' })
    let longestMs = 0
    let accepted = 0
    let exitCode: number | null | undefined
    void ended.then(code => {
      exitCode = code
    })
    // Until it has ended, and a while longer: every partition is written to.
    for (let after = 0; after < 40; after += exitCode === undefined ? 0 : 1) {
      const startedAt = performance.now()
      const command = { type: 'OpenAccount', data: {} }
      const outcome = await client.execute('bank_account', `acc-${accepted}`, command, { timeoutMs: 60_000 })
      if (outcome.type === 'accepted') accepted += 1
      else t.fail(`rejected: ${outcome.message}`)
      longestMs = Math.max(longestMs, performance.now() - startedAt)
    }
    t.comment(`${accepted} commands, the longest took ${Math.round(longestMs)} ms`)
    t.equal(await ended, 6, 'its exit code says that the store failed')
    t.match(
      a.log(),
      /"level":50[^\n]*the disk is full[^\n]*the store failed, so this node hands over what it leads/,
    )
    await eventually(async () => (await ledByA()) === 0, 'others lead what it led')
    t.ok(longestMs < 20_000, 'no command waited long')

    rmSync(filler)
    await a.restart()
    await settled(a, 3)
    const back = createControlClient({ socketPath: a.ready.control })
    t.teardown(() => back.close())
    const { sequence } = await back.loadAggregate('bank_account', `acc-${accepted - 1}`)
    t.equal(sequence, 1, 'with room again it catches up and answers')
  },
)
