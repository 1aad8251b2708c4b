// bin/glyn-node.js under a Node that is too old: it says so, or goes on with the newer one beside it.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createFolder } from '../support/memory-io.ts'

const executable = fileURLToPath(new URL('../../bin/glyn-node.js', import.meta.url))

const oldNode = ['/usr/local/bin/node', '/usr/bin/node'].find(path => {
  if (!existsSync(path)) return false
  const [major = 0, minor = 0] = execFileSync(path, ['-p', 'process.versions.node'])
    .toString()
    .split('.')
    .map(Number)
  return major < 22 || (major === 22 && minor < 18)
})
const skip = oldNode === undefined ? 'no Node older than 22.18 on this machine' : false

t.test('the executable prints the version', async t => {
  const { status, stdout } = spawnSync(process.execPath, [executable, '--version'])
  t.equal(status, 0)
  t.match(stdout.toString(), /^\d+\.\d+\.\d+\n$/)
})

t.test('what was compiled is kept for the next start, where that is possible', async t => {
  const folder = await createFolder(t)
  const { NODE_COMPILE_CACHE: _, ...environment } = process.env
  const versionWith = (cache: string) =>
    spawnSync(process.execPath, [executable, '--version'], {
      env: { ...environment, XDG_CACHE_HOME: cache },
      timeout: 60_000,
    })
  t.equal(versionWith(folder).status, 0)
  const kept = readdirSync(join(folder, 'glyn-node'), { recursive: true })
  t.ok(kept.length > 10, `${kept.length} files`)
  for (const impossible of ['/proc/nowhere', executable]) {
    const { status, stderr } = versionWith(impossible)
    t.same([status, stderr.toString()], [0, ''], 'without a place it starts all the same')
  }
})

t.test('an old Node hands over to the newer one that npm ci installed', { skip }, async t => {
  const { status, stdout } = spawnSync(oldNode ?? '', [executable, '--version'])
  t.equal(status, 0)
  t.match(stdout.toString(), /^\d+\.\d+\.\d+\n$/)
  t.equal(spawnSync(oldNode ?? '', [executable, 'nonsense']).status, 2, 'exit codes pass through')
})

t.test('an old Node alone is told which one is needed, and exits 2', { skip }, async t => {
  const folder = await createFolder(t)
  await mkdir(join(folder, 'bin'))
  for (const file of ['glyn-node.js', 'package.json']) {
    await copyFile(fileURLToPath(new URL(`../../bin/${file}`, import.meta.url)), join(folder, 'bin', file))
  }
  const { status, stdout, stderr } = spawnSync(oldNode ?? '', [join(folder, 'bin', 'glyn-node.js'), 'status'])
  t.equal(status, 2)
  t.equal(stdout.toString(), '')
  t.match(stderr.toString(), /needs Node\.js 22\.18 or newer; this is \d+\.\d+\.\d+ \(/)
})
