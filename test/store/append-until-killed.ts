// Appends two events to one new account after the other in a shared SQLite file, and prints each that was acknowledged.
import { writeSync } from 'node:fs'
import { sharedSqliteStore } from '../../src/store/sqlite/shared/shared-sqlite-store.ts'
import { binding, deposit } from './shared-appends.ts'

const [path = '', round = ''] = process.argv.slice(2)
const store = sharedSqliteStore({ path })
await store.open(binding)

async function write(writer: number): Promise<never> {
  for (let number = 0; ; number += 1) {
    const id = `${round}-${writer}-${number}`
    const [result] = await store.append([deposit(id, 0, 'open', { events: 2 })])
    if (result?.type !== 'appended') throw new Error(JSON.stringify(result))
    writeSync(1, `${id}\n`)
  }
}

await Promise.all([0, 1, 2, 3].map(write))
