// A process that may write the directory of a store, but not its file. Prints how opening it ended.
import { chmodSync, chownSync } from 'node:fs'
import { dirname } from 'node:path'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'

const nobody = 65_534
const [path = ''] = process.argv.slice(2)
chmodSync(path, 0o444)
for (const file of ['', '-wal', '-shm']) {
  try {
    chownSync(path + file, 0, 0)
  } catch {
    // Not there, or not root: the mode is enough then.
  }
}
if (process.getuid?.() === 0) {
  chmodSync(dirname(path), 0o777)
  try {
    chmodSync(`${dirname(path)}/lock`, 0o666)
    process.setgid?.(nobody)
    process.setuid?.(nobody)
  } catch (error) {
    process.stdout.write(`skip: cannot become another user: ${error}\n`)
    process.exit(0)
  }
}
try {
  const store = await openSqliteStore({ path })
  process.stdout.write('opened\n')
  await store.close()
} catch (error) {
  process.stdout.write(`${(error as { code?: string }).code} ${(error as Error).message}\n`)
}
