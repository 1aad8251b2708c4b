// A process that writes a number of batches one by one, whatever becomes of them, and prints what became of each.
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { batchOf } from './entries.ts'

const [path = '', writes = '0'] = process.argv.slice(2)
const store = await openSqliteStore({ path })
for (let number = 1; number <= Number(writes); number += 1) {
  await store.write(batchOf({ settings: { number: String(number) } })).then(
    () => print('ok'),
    (error: Error & { code?: string }) => print(`failed ${error.code} ${error.message}`),
  )
}
await store.close()

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
