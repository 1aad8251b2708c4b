// What the documents and the lock file say is so.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const documents = [
  ...readdirSync(root).filter(name => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => join('docs', name)),
]

interface Package {
  readonly scripts: Readonly<Record<string, string>>
}

interface Lock {
  readonly packages: Readonly<
    Record<
      string,
      {
        readonly resolved?: string
        readonly link?: boolean
        readonly optionalDependencies?: Readonly<Record<string, string>>
      }
    >
  >
}

t.test('links between documents lead somewhere', async t => {
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      t.ok(existsSync(join(root, dirname(document), target)), `${document}: ${target}`)
    }
  }
})

t.test('npm scripts that documents name are there', async t => {
  const { scripts } = JSON.parse(read('package.json')) as Package
  for (const document of documents) {
    for (const [, script = ''] of read(document).matchAll(/npm run ([a-z:-]+)/g)) {
      t.ok(script in scripts, `${document}: npm run ${script}`)
    }
  }
})

t.test('the lock file names no registry, and the packages of every platform', async t => {
  const { packages } = JSON.parse(read('package-lock.json')) as Lock
  const names = new Set(Object.keys(packages).map(path => path.replace(/^.*node_modules\//, '')))
  for (const [path, { resolved, link, optionalDependencies = {} }] of Object.entries(packages)) {
    // A folder of this repository is no registry.
    if (resolved !== undefined && link !== true) t.fail(`${path} is resolved to ${resolved}`)
    // npm drops those that it did not find when it wrote the lock, and `npm ci` then fails for want of them.
    for (const name of Object.keys(optionalDependencies)) t.ok(names.has(name), `${path}: ${name}`)
  }
})
