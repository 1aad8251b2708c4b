// Two hosts that may both believe to lead, on a store that loses answers, delays and lets later calls overtake earlier ones.
import t from 'tap'
import { hasCode, isGlynError } from '../../src/core/errors.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { createMemorySharedStore, createSharedMemory } from '../../src/store/memory/memory-shared-store.ts'
import type { Append, AppendOptions } from '../../src/store/shared-store.ts'
import { createRandom } from '../store/random.ts'
import { faulty, lost, openMemory, startSharedHost } from './shared-hosts.ts'
import { counterAggregate, partition } from './single-host.ts'

const seed = Number(process.env['GLYN_SEED'] ?? Math.floor(Math.random() * 1_000_000))
const rounds = Number(process.env['GLYN_ROUNDS'] ?? 12)
const clients = 8
const steps = 25
const ids = ['a', 'b', 'c']

for (let round = 0; round < rounds; round += 1) {
  const own = seed + round
  t.test(`nothing is lost, doubled or decided on what is not so (GLYN_SEED=${own})`, async t => {
    const random = createRandom(own)
    const chance = (share: number): boolean => random() < share
    const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, random() * ms))
    const memory = createSharedMemory()
    let isCalm = false
    const openFaulty = async () => {
      const store = await openMemory(memory)
      const late = createMemorySharedStore({ memory })
      await late.open({ scope: 'test', partitions: 4 })
      const arriveLate = (appends: readonly Append[], options: AppendOptions | undefined): void => {
        setTimeout(() => {
          late.append(appends, options).catch((error: unknown) => {
            if (!hasCode(error, 'TRANSACTION_ROLLED_BACK')) t.error(error)
          })
        }, random() * 12)
      }
      // The connection is lost, and what was sent arrives when it likes, or never.
      store.before = async (appends, options) => {
        if (!isCalm && chance(0.4)) await pause(6)
        if (isCalm || !chance(0.12)) return
        if (chance(0.7)) arriveLate(appends, options)
        throw lost()
      }
      store.after = async (appends, options) => {
        if (!isCalm && chance(0.4)) await pause(6)
        if (isCalm || !chance(0.1)) return
        arriveLate(appends, options)
        throw lost()
      }
      return faulty(store)
    }
    const aggregate = { aggregate: counterAggregate({ snapshotEvery: 7 }) }
    const hosts = [
      await startSharedHost({ ...aggregate, store: await openFaulty() }),
      await startSharedHost({ ...aggregate, store: await openFaulty(), term: 2 }),
    ] as const
    let term = 3
    const told = new Map<string, { readonly id: string; readonly by: number; readonly outcome: Outcome }>()

    const until = async (work: (host: (typeof hosts)[number]) => Promise<Outcome>): Promise<Outcome> => {
      for (;;) {
        try {
          return await work(hosts[chance(0.5) ? 0 : 1])
        } catch (error) {
          if (!isGlynError(error) || !error.retryable) throw error
          await pause(3)
        }
      }
    }

    const client = async (number: number): Promise<void> => {
      for (let step = 0; step < steps; step += 1) {
        const id = ids[Math.floor(random() * ids.length)] ?? 'a'
        const by = chance(0.45) ? -Math.ceil(random() * 4) : Math.ceil(random() * 4)
        const keepsOutcome = chance(0.3)
        const commandId = `${keepsOutcome ? 'glyn:' : ''}${number}-${step}`
        const options = { commandId, ...(keepsOutcome ? { keepsOutcome } : {}) }
        const command = { type: 'Add', data: { by } }
        const first = await until(host => host.execute(id, command, options))
        told.set(commandId, { id, by, outcome: first })
        if (first.type !== 'accepted' && !keepsOutcome) continue
        if (!chance(0.3)) continue
        const again = await until(host => host.execute(id, command, options))
        const place = (outcome: Outcome) => (outcome.type === 'accepted' ? outcome.sequence : outcome.message)
        t.same([again.type, place(again)], [first.type, place(first)], `${commandId} has one outcome`)
      }
    }
    const unrest = setInterval(() => {
      const host = hosts[chance(0.5) ? 0 : 1]
      term += 1
      if (chance(0.5)) host.follow(term)
      host.lead(term)
    }, 9)
    await Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
    clearInterval(unrest)
    isCalm = true
    await new Promise(resolve => setTimeout(resolve, 25))

    for (const id of ids) {
      const events = await hosts[0].store.readStream(
        { type: 'counter', id },
        { fromSequence: 1, limit: 10_000 },
      )
      t.same(
        events.map(({ sequence }) => sequence),
        events.map((_, place) => place + 1),
        'no gaps',
      )
      t.equal(
        new Set(events.map(({ commandId }) => commandId)).size,
        events.length,
        'no command counts twice',
      )
      const totals = [0]
      for (const { data } of events)
        totals.push((totals.at(-1) ?? 0) + (JSON.parse(data) as { by: number }).by)
      t.ok(
        totals.every(total => total >= 0),
        'each was decided on the state before it',
      )
      for (const [commandId, { id: of, by, outcome }] of told) {
        if (of !== id) continue
        const place = events.findIndex(event => event.commandId === commandId)
        if (outcome.type === 'accepted') {
          if (events[place]?.sequence !== outcome.sequence)
            t.fail(`${commandId} was acknowledged, and is not there`)
        } else {
          // What was lost on its way and arrives after a rejection that is not kept counts, as any late duplicate does.
          if (place !== -1 && commandId.startsWith('glyn:')) t.fail(`${commandId} was rejected, and is there`)
          const total = Number(/total is (\d+)/.exec(outcome.message)?.[1])
          if (!totals.includes(total) || total + by >= 0)
            t.fail(`${commandId}: ${outcome.message} was never so`)
        }
      }
      for (const host of hosts) t.same((await host.load(id)).state, { total: totals.at(-1) })
    }
    for (const { host } of hosts) {
      t.equal(host.pendingCount(), 0)
      t.equal(host.pendingOf(partition).count, 0)
      host.stop()
    }
  })
}
