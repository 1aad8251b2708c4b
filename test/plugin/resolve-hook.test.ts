// `import … from 'glyn-node'` means the running installation, wherever the plugin lies. In processes of their own, so
// that warnings show and no other loader is at work.
import { execFile } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const hook = new URL('../../src/plugin/', import.meta.url).href
const index = new URL('../../src/index.ts', import.meta.url).href

/** Loads `<directory>/aggregates` in a fresh process, whose working directory is not ours. */
async function load(directory: string, inWorker = false): Promise<{ stdout: string; stderr: string }> {
  const script = `
    import { Worker, isMainThread } from 'node:worker_threads'
    const { loadAggregates } = await import('${hook}load-aggregates.ts')
    const { loaded, failed } = await loadAggregates(${JSON.stringify(directory)})
    const own = await import('${index}')
    console.log(JSON.stringify({
      failed,
      same: loaded.map(({ definition }) => definition.GlynError === own.GlynError),
    }))`
  const source = inWorker
    ? `import { Worker } from 'node:worker_threads'
       new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(script)})))`
    : script
  const { NODE_OPTIONS: _, ...env } = process.env
  return run(process.execPath, ['--input-type=module', '--eval', source], { cwd: '/', env })
}

const plugin = (type: string): string => `
import { GlynError } from 'glyn-node'
import { helper } from './_helper.ts'
export default { type: '${type}', emptyState: helper, handle() { return [] }, apply(state) { return state }, GlynError }
`

for (const inWorker of [false, true]) {
  t.test(`all extensions and any place, ${inWorker ? 'in a worker' : 'on the main thread'}`, async t => {
    const files = () => ({
      'a.ts': `${plugin('a')}type Unused = string\n`,
      'b.js': plugin('b'),
      'c.mjs': plugin('c'),
      '_helper.ts': `import { type DomainEvent, reject } from 'glyn-node'\nexport const helper = reject as unknown`,
    })
    const directory = t.testdir({
      bare: { aggregates: files() },
      commonjs: { 'package.json': '{"type":"commonjs"}', aggregates: files() },
      elsewhere: {
        // Another package of our name does not get in the way.
        node_modules: {
          'glyn-node': { 'package.json': '{"main":"index.js"}', 'index.js': 'throw new Error("wrong")' },
        },
        aggregates: files(),
      },
    })
    symlinkSync(`${directory}/commonjs`, `${directory}/linked`)
    for (const place of ['bare', 'commonjs', 'elsewhere', 'linked']) {
      const { stdout, stderr } = await load(`${directory}/${place}/aggregates`, inWorker)
      t.strictSame(JSON.parse(stdout), { failed: [], same: [true, true, true] }, place)
      t.equal(stderr, '', 'without a warning')
    }
  })
}

t.test('other imports resolve as usual', async t => {
  const directory = t.testdir({
    node_modules: {
      helper: {
        'package.json': '{"type":"module","main":"index.js"}',
        'index.js': 'export { GlynError } from "glyn-node"',
      },
      'glyn-node': {
        'package.json': '{"type":"module","main":"index.js"}',
        'index.js': 'export const GlynError = 1',
      },
    },
    aggregates: {
      'a.ts': `import { GlynError } from 'helper'
        import { sep } from 'node:path'
        export default { type: 'a', emptyState: sep, handle() { return [] }, apply(s) { return s }, GlynError }`,
    },
  })
  const { stdout } = await load(`${directory}/aggregates`)
  t.strictSame(JSON.parse(stdout), { failed: [], same: [false] }, 'a package below node_modules gets its own')
})

t.test('.ts below node_modules is refused with what to do', async t => {
  const directory = t.testdir({
    node_modules: { x: { aggregates: { 'a.ts': 'export default 1 as number' } } },
  })
  const { stdout } = await load(`${directory}/node_modules/x/aggregates`)
  t.match(JSON.parse(stdout), {
    failed: [{ message: /Node runs no \.ts below node_modules; copy the directory elsewhere/ }],
  })
})
