// Each query and each handler has a thread of its own that imports `glyn-node` for its definitions: what that loads, every one
// of them pays for, in time and in memory.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { plainly } from '../support/plainly.ts'

const library = new URL('../../src/index.ts', import.meta.url).href

t.test('the library without a node loads no mesh, no database and no server', async t => {
  const program = `
    import { registerHooks } from 'node:module'
    registerHooks({
      load(url, context, next) {
        if (url.startsWith('file:')) console.log(url)
        return next(url, context)
      },
    })
    await import(${JSON.stringify(library)})`
  const args = ['--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(...plainly(process.execPath, args))
  const modules = stdout.trim().split('\n')
  t.ok(modules.includes(library), 'what is loaded is seen')
  t.strictSame(
    modules.filter(url => /\/(libp2p|@libp2p|@chainsafe|better-sqlite3|pg|fastify|pino)\//.test(url)),
    [],
  )
})
