import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import { makeDirectory } from '../../src/store/make-directory.ts'
import { createFolder, runCli } from '../support/memory-io.ts'

const options = { what: 'the data directory', mode: 0o700 }

t.test('missing folders are made with the mode, those that exist are left alone', t => {
  const top = t.testdir()
  const modeOfTop = statSync(top).mode
  const path = join(top, 'made', 'for', 'us')
  makeDirectory(path, options)
  makeDirectory(path, options)
  t.equal(statSync(join(top, 'made')).mode & 0o777, 0o700)
  t.equal(statSync(top).mode, modeOfTop)
  t.end()
})

t.test('what is in the way is named, with the folder it is in the way of', t => {
  const top = t.testdir({ file: 'text' })
  t.throws(() => makeDirectory(join(top, 'file'), options), {
    code: 'STORE_READ_ONLY',
    message: `the data directory ${join(top, 'file')} cannot be made: there is a file of this name (EEXIST)`,
  })
  const below = join(top, 'file', 'a', 'b')
  t.throws(() => makeDirectory(below, options), {
    code: 'STORE_READ_ONLY',
    message: /cannot be made: .*\/file: there is a file of this name \(EEXIST\)$/,
  })
  t.end()
})

// Node's own recursive mkdir never ends there.
t.test('a folder below /proc is refused', { skip: !existsSync('/proc/self') }, async t => {
  const refused = { code: 'STORE_READ_ONLY', message: /\/proc\/nowhere\b.* cannot be made.*\(ENOENT\)/ }
  t.throws(() => makeDirectory('/proc/nowhere/a', options), refused)
  await t.rejects(createNode({ topic: 'bank', dataDirectory: '/proc/nowhere' }), refused)
  const cwd = await createFolder(t)
  for (const line of [
    'start --topic bank --data-dir /proc/nowhere',
    'start --topic bank --store memory --listen /ip4/127.0.0.1/tcp/0 --data-dir /proc/nowhere',
    'init /proc/nowhere',
  ]) {
    const { code, err } = await runCli(cwd, line.split(' '))
    t.equal(code, 6, line)
    t.match(err, /\/proc\/nowhere\S* cannot be made/, line)
    t.match(err, /the system allows no folders there/, line)
  }
})
