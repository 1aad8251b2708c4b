import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { runChild } from './run-child.ts'

t.test('a directory is locked once, also within one process, and free after the release', async t => {
  const directory = join(t.testdir(), 'made', 'for', 'us')
  const lock = lockDirectory(directory)
  t.throws(() => lockDirectory(directory), {
    code: 'ALREADY_RUNNING',
    message: `data directory ${directory} is in use by the process ${process.pid}; stop it, or use another --data-dir`,
    details: { directory, pid: process.pid },
  })
  lock.release()
  lock.release()
  lockDirectory(directory).release()
})

t.test('another process is named; stopped it keeps the lock, killed it loses it', async t => {
  const directory = t.testdir()
  const child = runChild('./hold-lock.ts', { arguments: [directory] })
  t.teardown(() => child.process.kill('SIGKILL'))
  await child.line('held')
  const refused = { code: 'ALREADY_RUNNING', details: { pid: child.pid } }
  t.throws(() => lockDirectory(directory), refused)
  child.process.kill('SIGSTOP')
  t.throws(() => lockDirectory(directory), refused)
  child.process.kill('SIGKILL')
  await child.ended
  lockDirectory(directory).release()
})

t.test('a damaged lock file is explained', async t => {
  const directory = t.testdir()
  writeFileSync(join(directory, 'lock'), 'not a database '.repeat(400))
  t.throws(() => lockDirectory(directory), { code: 'STORE_CORRUPT', message: /lock file .* then remove it/ })
})
