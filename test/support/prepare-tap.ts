// tap generates its Test class from the plugins of .taprc, and does so too late for the run that notices a difference:
// `npm test` therefore looks first. Ours has no @tapjs/typescript, because Node strips types itself.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const generated = readFileSync(
  new URL('../../node_modules/@tapjs/test/test-built/dist/esm/index.js', import.meta.url),
  'utf8',
)
if (generated.includes('@tapjs/typescript')) {
  const { status } = spawnSync('tap', ['build'], { stdio: 'inherit', shell: process.platform === 'win32' })
  process.exitCode = status ?? 1
}
