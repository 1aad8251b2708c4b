// A folder of plugins is watched: what is told is what lies there at rest, whether the folder is there or not.
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/node/system-clock.ts'
import { type FolderView, watchPluginFolder } from '../../src/plugin/watch-folder.ts'
import { until } from '../query/with-host.ts'

async function watching(
  t: Test,
  directory: string,
  options: { parts?: () => string[]; failures?: number } = {},
) {
  const views: FolderView[] = []
  const troubles: string[] = []
  let failures = options.failures ?? 0
  const watch = watchPluginFolder({
    directory,
    clock: systemClock,
    parts: options.parts ?? (() => []),
    async onChange(view) {
      if (failures > 0) {
        failures -= 1
        throw new Error('not now')
      }
      views.push(view)
    },
    onTrouble: message => void troubles.push(message),
  })
  t.teardown(() => watch.close())
  await watch.ready
  const names = (): string => (views.at(-1)?.files ?? []).map(({ file }) => basename(file)).join()
  return { views, troubles, names, watch }
}

t.test('a folder that is not there, appears, goes and comes back', async t => {
  const root = t.testdir()
  const folder = join(root, 'config', 'queries')
  const { names, views, troubles } = await watching(t, folder)
  await until(() => views.length === 1)
  mkdirSync(join(root, 'config'))
  mkdirSync(folder)
  writeFileSync(join(folder, 'a.ts'), '1')
  await until(() => names() === 'a.ts')
  const first = views.at(-1)?.files[0]?.contentHash
  writeFileSync(join(folder, 'a.ts'), '2')
  await until(() => views.at(-1)?.files[0]?.contentHash !== first)
  rmSync(folder, { recursive: true })
  await until(() => names() === '')
  mkdirSync(folder)
  writeFileSync(join(folder, 'b.js'), '1')
  await until(() => names() === 'b.js')
  renameSync(folder, `${folder}-old`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'c.mjs'), '1')
  await until(() => names() === 'c.mjs')
  writeFileSync(join(folder, 'd.mjs'), '1')
  await until(() => names() === 'c.mjs,d.mjs')
  t.strictSame(troubles, [])
})

t.test('what could not be taken in is told again, though nothing changes', async t => {
  const { names, troubles } = await watching(t, t.testdir({ 'a.ts': '1' }), { failures: 1 })
  await until(() => names() === 'a.ts')
  t.match(troubles, [/not now; it is looked at every 5 s/])
})

t.test('parts that lie elsewhere, and a folder behind a link', async t => {
  const root = t.testdir({ real: { 'a.ts': '1' }, lib: { 'part.ts': '1' } })
  symlinkSync(join(root, 'real'), join(root, 'linked'))
  const part = join(root, 'lib', 'part.ts')
  const { views, names } = await watching(t, join(root, 'linked'), { parts: () => [part] })
  await until(() => names() === 'a.ts' && views.at(-1)?.hashes.has(part) === true)
  const first = views.at(-1)?.hashes.get(part)
  writeFileSync(part, '2')
  await until(() => views.at(-1)?.hashes.get(part) !== first)
  rmSync(part)
  await until(() => views.at(-1)?.hashes.get(part) === 'ENOENT')
  writeFileSync(join(root, 'real', 'b.ts'), '1')
  await until(() => names() === 'a.ts,b.ts')
})

t.test('a file that never comes to rest does not hold up the others; nothing is told twice', async t => {
  const folder = t.testdir({ 'a.ts': '1' })
  const { views, names, watch } = await watching(t, folder)
  let round = 0
  const timer = setInterval(() => {
    round += 1
    writeFileSync(join(folder, 'restless.ts'), String(round))
  }, 30)
  t.teardown(() => clearInterval(timer))
  writeFileSync(join(folder, 'b.ts'), '1')
  await until(() => names().includes('b.ts'))
  clearInterval(timer)
  await until(() => views.at(-1)?.files.find(({ file }) => file.endsWith('restless.ts')) !== undefined)
  const told = views.length
  watch.look()
  writeFileSync(join(folder, 'end.ts'), '1')
  await until(() => names().includes('end.ts'))
  t.ok(views.length <= told + 2)
})
