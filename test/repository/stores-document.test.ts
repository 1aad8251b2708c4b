// docs/stores.md: its store is written to a file as it stands there, and passes the conformance kit, run as it stands there.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { sharedStoreClaims } from '../../src/testing/shared-store/check-shared-store.ts'
import { plainly } from '../support/plainly.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const document = readFileSync(join(root, 'docs', 'stores.md'), 'utf8')

const files = new Map(
  [...document.matchAll(/^```ts ([\w.-]+)\n([\s\S]*?)^```$/gm)].map(([, name = '', text = '']) => [
    name,
    text,
  ]),
)

/** A folder with the files of the document, where `glyn-node` is this repository, from its sources. */
function setUp(t: Test): string {
  const folder = t.testdir()
  const installed = join(folder, 'node_modules', 'glyn-node')
  mkdirSync(installed, { recursive: true })
  symlinkSync(join(root, 'src'), join(installed, 'src'))
  writeFileSync(
    join(installed, 'package.json'),
    JSON.stringify({
      type: 'module',
      exports: { '.': './src/index.ts', './testing': './src/testing/index.ts' },
    }),
  )
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  for (const [name, text] of files) writeFileSync(join(folder, name), text)
  return folder
}

function run(folder: string, parameters: readonly string[]) {
  const [program, rest] = plainly(process.execPath, ['--disable-warning=ExperimentalWarning', ...parameters])
  return spawnSync(program, rest, { cwd: folder, encoding: 'utf8' })
}

t.test('the store that the document writes passes the kit', async t => {
  const folder = setUp(t)
  const { stdout, stderr, status } = run(folder, ['file-store.check.ts'])
  t.equal(stdout, `${sharedStoreClaims.length} claims hold\n`, stderr)
  t.equal(status, 0)
})

t.test('so it does claim by claim, under a test runner', async t => {
  const folder = setUp(t)
  const { stdout, status } = run(folder, [
    '--test',
    '--test-reporter=tap',
    '--test-name-pattern=append that expects|is a duplicate',
    'claims.test.ts',
  ])
  const wanted = sharedStoreClaims.filter(({ name }) => /append that expects|is a duplicate/.test(name))
  t.match(stdout, new RegExp(`^# pass ${wanted.length}$`, 'm'))
  t.equal(status, 0)
  t.strictSame(
    readdirSync(folder).filter(name => name.endsWith('.db')),
    [],
    'what it made is removed',
  )
})

t.test('the mistake that the document shows is told as it says', async t => {
  const folder = setUp(t)
  const store = files.get('file-store.ts') ?? ''
  const fence = "if (sequence !== append.expectedSequence) return { type: 'conflict', sequence }"
  t.ok(store.includes(fence))
  writeFileSync(join(folder, 'file-store.ts'), store.replace(fence, ''))
  // One claim is enough here, and quicker.
  writeFileSync(
    join(folder, 'one.ts'),
    `import { checkClaim, sharedStoreClaims } from 'glyn-node/testing'
     import { fileStore } from './file-store.ts'
     const claim = sharedStoreClaims.find(({ name }) => name.startsWith('an append that expects another'))
     await checkClaim(claim, { create: name => fileStore(name + '.db') })`,
  )
  const { stderr, status } = run(folder, ['one.ts'])
  const [, wanted = ''] = document.match(/^```\n(✗ [\s\S]*?)^```$/m) ?? []
  t.not(wanted, '')
  t.ok(stderr.includes(wanted), stderr.slice(0, 3000))
  t.equal(status, 1)
})

t.test('the types of its files are right', async t => {
  const folder = setUp(t)
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        typeRoots: [join(root, 'node_modules', '@types')],
        // As users have it.
        noPropertyAccessFromIndexSignature: false,
        paths: {
          'glyn-node': [join(root, 'src', 'index.ts')],
          'glyn-node/testing': [join(root, 'src', 'testing', 'index.ts')],
        },
      },
      include: ['*.ts'],
    }),
  )
  const [program, rest] = plainly(join(root, 'node_modules', '.bin', 'tsc'), ['-p', '.'])
  const { stdout, status } = spawnSync(program, rest, { cwd: folder, encoding: 'utf8' })
  t.equal(stdout, '')
  t.equal(status, 0)
})
