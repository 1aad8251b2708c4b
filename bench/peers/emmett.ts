// Emmett with its PostgreSQL store: the same bank account as a decider, in this process, as its documentation has it.
import { DeciderCommandHandler, IllegalStateError } from '@event-driven-io/emmett'
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import { measure, type Measurement } from '../measure.ts'
import { startPostgres } from '../postgres.ts'
import { accountId, runPart } from '../settings.ts'

type Account = { status: 'unopened' | 'open'; balance: number }
type AccountEvent =
  | { type: 'AccountOpened'; data: Record<string, never> }
  | { type: 'CustomerDepositedCash'; data: { amount: number; balance: number } }
type AccountCommand =
  | { type: 'OpenAccount'; data: Record<string, never> }
  | { type: 'DepositMoney'; data: { amount: number } }

const handle = DeciderCommandHandler<Account, AccountCommand, AccountEvent>({
  initialState: () => ({ status: 'unopened', balance: 0 }),
  decide(command, { status, balance }) {
    if (command.type === 'OpenAccount') return { type: 'AccountOpened', data: {} }
    if (status !== 'open') throw new IllegalStateError('the account is not open')
    const { amount } = command.data
    return { type: 'CustomerDepositedCash', data: { amount, balance: balance + amount } }
  },
  evolve: (state, event) =>
    event.type === 'AccountOpened' ? { ...state, status: 'open' } : { ...state, balance: event.data.balance },
  mapToStreamId: id => `bank_account-${id}`,
  retry: { onVersionConflict: true },
})

/** Beside those of all: its best lies where its ten connections and two cores are just busy. */
const moreInFlight = [8, 16, 64]

await runPart(async ({ folder, accounts, inFlight, warmUpMs, durationMs }, cleanUp) => {
  const store = getPostgreSQLEventStore(await startPostgres(folder, cleanUp))
  cleanUp(async () => {
    // The store's pool keeps idle connections; that PostgreSQL ends them when it stops is no failure of the bench.
    process.on('uncaughtException', error => {
      if ((error as { readonly code?: unknown }).code !== '57P01') throw error
    })
    await store.close()
  })
  const found: Measurement[] = []
  for (const callers of [...new Set([...inFlight, ...moreInFlight])].sort((a, b) => a - b)) {
    // Accounts of its own for each: a command reads its whole stream, so those that come later would pay for the others.
    const idOf = (number: number): string => `${callers}-${accountId(number % accounts)}`
    for (let number = 0; number < accounts; number += 1) {
      await handle(store, idOf(number), { type: 'OpenAccount', data: {} })
    }
    const send = async (number: number): Promise<void> => {
      await handle(store, idOf(number), { type: 'DepositMoney', data: { amount: 1 } })
    }
    found.push(await measure({ inFlight: callers, warmUpMs, durationMs, send }))
  }
  return found
})
