// The PostgreSQL store by itself, in this process: appends of one deposit each, with the expected sequence and a command id. What a
// node adds is not in it; what Emmett does more for each command, reading the stream, is not in it either.
import { partitionOf } from '../src/core/partition-of.ts'
import { createCommandId } from '../src/node/command-id.ts'
import { postgresStore } from '../src/store/postgres/postgres-store.ts'
import { type Measurement, measure } from './measure.ts'
import { startPostgres } from './postgres.ts'
import { accountId, runPart } from './settings.ts'

const partitions = 32

await runPart(async ({ folder, accounts, inFlight, warmUpMs, durationMs }, cleanUp) => {
  const store = postgresStore({ connectionString: await startPostgres(folder, cleanUp) })
  cleanUp(() => store.close())
  await store.open({ scope: 'bench', partitions })
  const found: Measurement[] = []
  for (const callers of inFlight) {
    const sequences = new Array<number>(accounts).fill(0)
    const send = async (number: number): Promise<void> => {
      const account = number % accounts
      const aggregate = { type: 'bank_account', id: `${callers}-${accountId(account)}` }
      const expectedSequence = sequences[account] ?? 0
      // No two appends of one account are under way: there are more accounts than callers.
      sequences[account] = expectedSequence + 1
      const [result] = await store.append([
        {
          partition: partitionOf(aggregate, partitions),
          aggregate,
          expectedSequence,
          commandId: createCommandId(),
          timeMs: Date.now(),
          metadata: '{}',
          events: [
            {
              type: 'CustomerDepositedCash',
              version: 1,
              data: `{"amount":1,"balance":${expectedSequence + 1}}`,
            },
          ],
        },
      ])
      if (result?.type !== 'appended') throw new Error(`an append was refused: ${JSON.stringify(result)}`)
    }
    found.push(await measure({ inFlight: callers, warmUpMs, durationMs, send }))
  }
  return found
})
