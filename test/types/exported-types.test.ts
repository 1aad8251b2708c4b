// Users see no `any`: what the package declares is looked through, file by file.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { directoryOf } from '../support/directory-of.ts'
import { plainly } from '../support/plainly.ts'
import { root } from '../support/snippets.ts'

/** Declarations without comments and texts: in those, any word may stand. */
const codeOf = (declarations: string): string =>
  declarations
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/\/\/.*$/gm, '')
    .replaceAll(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")

const anyIn = (declarations: string): string[] =>
  codeOf(declarations)
    .split('\n')
    .filter(line => /(?<![.\w$])any(?![\w$:?(])/.test(line))
    .map(line => line.trim())

/** The files that users' compilers read: what the entry points export, and what that refers to. */
function reachableFrom(entries: readonly string[]): readonly string[] {
  const found = new Set(entries)
  for (const file of found) {
    for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(
      /(?:from|import\()\s*['"](\.[^'"]+)['"]/g,
    )) {
      const path = resolve(dirname(file), target.replace(/\.(ts|js)$/, '.d.ts'))
      if (existsSync(path)) found.add(path)
    }
  }
  return [...found]
}

t.test('what is looked for is found where it is', async t => {
  t.strictSame(anyIn('export type A = Map<string, any>'), ['export type A = Map<string, any>'])
  t.strictSame(anyIn('f(a: any): void;'), ['f(a: any): void;'])
  t.strictSame(anyIn("/** for any of them */\ndeclare const any: 'any';\nx.any; anything: string"), [])
})

t.test('no exported type has any in it', async t => {
  const folder = directoryOf(t)
  const args = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', folder]
  await promisify(execFile)(...plainly(join(root, 'node_modules', '.bin', 'tsc'), args), { cwd: root })
  const files = reachableFrom([join(folder, 'index.d.ts'), join(folder, 'testing', 'index.d.ts')])
  t.ok(files.length > 50, `${files.length} files`)
  for (const file of files) t.strictSame(anyIn(readFileSync(file, 'utf8')), [], relative(folder, file))
})
