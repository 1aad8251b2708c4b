// `npm test`: runs tap, made ready for it.
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const pathOf = (place: string): string => fileURLToPath(new URL(`../../${place}`, import.meta.url))
const shell = process.platform === 'win32'

// tap generates its Test class from the plugins of .taprc, and does so too late for the run that notices a difference. Ours
// has no @tapjs/typescript, because Node strips types itself, and no @tapjs/mock, whose hooks look at each module that is loaded.
const generated = readFileSync(pathOf('node_modules/@tapjs/test/test-built/dist/esm/index.js'), 'utf8')
if (/@tapjs\/(typescript|mock)"/.test(generated)) {
  const { status } = spawnSync('tap', ['build'], { stdio: 'inherit', shell })
  if (status !== 0) process.exit(status ?? 1)
}

const untraced = `--import=${new URL('./untraced.js', import.meta.url)}`

// Hundreds of processes load the same modules: what was compiled once is kept for the others.
const tap = spawn('tap', process.argv.slice(2), {
  stdio: 'inherit',
  shell,
  env: {
    ...process.env,
    NODE_COMPILE_CACHE: pathOf('.tap/compile-cache'),
    NODE_OPTIONS: [process.env['NODE_OPTIONS'], untraced].filter(option => option !== undefined).join(' '),
  },
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => tap.kill(signal))
tap.on('exit', code => {
  process.exitCode = code ?? 1
})
