// The rules about our own source are kept by tools. Here each rule sees a violation planted for it: a rule that nothing
// can break keeps nothing.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { plainly } from '../support/plainly.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const configuration = ['biome.json', 'lint', '.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']

/** A tree with our configuration and these files in place of our source. */
function plant(folder: string, files: Readonly<Record<string, string>>): string {
  for (const name of configuration) cpSync(join(root, name), join(folder, name), { recursive: true })
  // The tree is no repository of its own, and lies where the repository's ignore file hides it.
  const biome = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8')) as Record<string, unknown>
  writeFileSync(join(folder, 'biome.json'), JSON.stringify({ ...biome, root: true, vcs: { enabled: false } }))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

function tool(folder: string, name: string, args: readonly string[]): unknown {
  const { stdout, stderr } = spawnSync(...plainly(join(root, 'node_modules', '.bin', name), args), {
    cwd: folder,
    encoding: 'utf8',
  })
  try {
    return JSON.parse(stdout)
  } catch (cause) {
    throw new Error(`${name} printed no report: ${stdout}${stderr}`, { cause })
  }
}

interface BiomeReport {
  readonly diagnostics: readonly {
    readonly category: string
    readonly location: { readonly path: unknown }
  }[]
}

t.test('a pure folder has no clock, chance, promises, timers or I/O', async t => {
  const impure: Readonly<Record<string, string>> = {
    date: 'export const now = (): number => Date.now()',
    performance: 'export const now = (): number => performance.now()',
    chance: 'export const chance = (): number => Math.random()',
    'chance-taken-apart': 'export const { random } = Math',
    'chance-of-crypto': 'export const id = (): string => crypto.randomUUID()',
    promise: 'export const later = Promise.resolve(1)',
    'promise-as-a-type': 'export type Later = Promise<number>',
    'async-function': 'export async function later() {\n  return 1\n}',
    'async-arrow': 'export const later = async () => 1',
    'async-method': 'export const later = {\n  async now() {\n    return 1\n  },\n}',
    timeout: 'export const wait = (): unknown => setTimeout(() => 1, 1)',
    interval: 'export const wait = (): unknown => setInterval(() => 1, 1)',
    immediate: 'export const wait = (): unknown => setImmediate(() => 1)',
    microtask: 'export const wait = (): unknown => queueMicrotask(() => 1)',
    process: 'export const pid = (): number => process.pid',
    buffer: 'export const bytes = (): unknown => Buffer.alloc(1)',
    console: "export const say = (): unknown => console.log('hm')",
    'global-this': 'export const now = (): number => globalThis.Date.now()',
  }
  const pure = 'export const larger = (a: number, b: number): number => Math.max(a, b)\n'
  const files: Record<string, string> = { 'src/core/larger.ts': pure, 'src/raft/larger.ts': pure }
  for (const [name, text] of Object.entries(impure)) {
    // The same is allowed where nothing is pure.
    for (const folder of ['core', 'raft', 'store']) files[`src/${folder}/${name}.ts`] = `${text}\n`
  }
  const folder = plant(t.testdir(), files)
  const report = tool(folder, 'biome', [
    'lint',
    'src',
    '--reporter=json',
    '--max-diagnostics=none',
  ]) as BiomeReport
  const complaints = new Set(
    report.diagnostics
      .filter(({ category }) => category !== 'lint/suspicious/noConsole')
      .map(({ location }) =>
        JSON.stringify(location.path).replace(/^.*(src\/[a-z-]+\/[a-z-]+\.ts).*$/, '$1'),
      ),
  )
  for (const name of Object.keys(impure)) {
    t.ok(complaints.has(`src/core/${name}.ts`), `core: ${name}`)
    t.ok(complaints.has(`src/raft/${name}.ts`), `raft: ${name}`)
    t.notOk(complaints.has(`src/store/${name}.ts`), `store: ${name}`)
  }
  t.notOk(complaints.has('src/core/larger.ts'))
})

interface CruiseReport {
  readonly summary: {
    readonly violations: readonly {
      readonly from: string
      readonly to: string
      readonly rule: { readonly name: string }
    }[]
  }
}

t.test('imports go down only, and adapters are private', async t => {
  const one = 'export const one = 1\n'
  const uses = (path: string): string => `import { one } from '${path}'\nexport const two = one + one\n`
  const folder = plant(t.testdir(), {
    'src/index.ts': `${uses('./core/one.ts')}export * from './store/sqlite/one.ts'\n`,
    'src/core/one.ts': one,
    'src/core/upwards.ts': uses('../raft/one.ts'),
    'src/core/upwards-for-a-type.ts':
      "import type { one } from '../raft/one.ts'\nexport type One = typeof one\n",
    'src/core/package.ts': "import { v7 } from 'uuid'\nexport const id = v7()\n",
    'src/core/schema.ts':
      "import type { StandardSchemaV1 } from '@standard-schema/spec'\nexport type Schema = StandardSchemaV1\n",
    'src/raft/one.ts': one,
    'src/raft/builtin.ts':
      "import { createHash } from 'node:crypto'\nexport const hash = createHash('sha256')\n",
    'src/raft/downwards.ts': uses('../core/one.ts'),
    'src/mesh/sibling.ts': uses('../query/one.ts'),
    'src/query/one.ts': one,
    'src/store/sqlite/one.ts': one,
    'src/store/own-adapter.ts': uses('./sqlite/one.ts'),
    'src/query/adapter.ts': uses('../store/sqlite/one.ts'),
    'src/node/adapter.ts': uses('../store/sqlite/one.ts'),
    'src/store/tool.ts': "import tap from 'tap'\nexport const tool = tap\n",
    'src/store/undeclared.ts':
      "import { Uint8ArrayList } from 'uint8arraylist'\nexport const list = new Uint8ArrayList()\n",
    'src/store/nowhere.ts': "import { gone } from './gone.ts'\nexport const here = gone\n",
    'src/store/circle.ts': "import { b } from './circle-back.ts'\nexport const a = (): unknown => b\n",
    'src/store/circle-back.ts': "import { a } from './circle.ts'\nexport const b = (): unknown => a\n",
    'src/store/unused.ts': one,
  })
  const report = tool(folder, 'depcruise', ['src', '--output-type', 'json']) as CruiseReport
  const found = report.summary.violations.map(({ from, rule }) => `${from}: ${rule.name}`)
  const wanted = [
    'src/core/upwards.ts: core-imports-only-what-lies-below',
    'src/core/upwards-for-a-type.ts: core-imports-only-what-lies-below',
    'src/core/package.ts: pure-folders-import-no-package',
    'src/raft/builtin.ts: pure-folders-import-no-package',
    'src/mesh/sibling.ts: mesh-imports-only-what-lies-below',
    'src/query/adapter.ts: adapters-are-private-to-their-folder-and-to-node',
    'src/store/tool.ts: no-dev-dependency-in-source',
    'src/store/undeclared.ts: no-undeclared-package',
    'src/store/nowhere.ts: no-unresolvable',
    'src/store/circle-back.ts: no-cycles',
    'src/store/unused.ts: no-orphans',
  ]
  // And nothing more: the other files do what is allowed.
  t.strictSame(found.sort(), wanted.sort())
})
