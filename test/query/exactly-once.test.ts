// G4: a query sees every committed event once, whatever happens to its thread.
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import { countingQuery, until, withHost } from './with-host.ts'

const deposit = (amount: number) => ['CustomerDepositedCash', { amount }] as const

/** Mulberry32: the same seed, the same moments. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

for (const seed of [1, 2]) {
  t.test(`each event counts once though the thread is ended at random moments, seed ${seed}`, async t => {
    const random = randomOf(seed)
    const workers: Worker[] = []
    const onWorker = (worker: Worker): void => void workers.push(worker)
    process.on('worker', onWorker)
    t.teardown(() => process.off('worker', onWorker))
    const { host, source, status, lines } = await withHost(t, {
      // Slow enough that most moments are in the middle of a transaction.
      files: {
        'count.ts': countingQuery(
          'count',
          'const until = performance.now() + 0.05; while (performance.now() < until);',
        ),
      },
      limits: { batchEventsMax: 100, backoffMsMin: 1, backoffMsMax: 5, loadBackoffMs: 10 },
    })
    let appended = 0
    const restarts = (): number => lines.filter(line => /thread is started again/.test(line.message)).length
    for (let kill = 0; kill < 10; kill += 1) {
      for (let i = 0; i < 300; i += 1) {
        const partition = 1 + Math.floor(random() * 4)
        const events = Array.from({ length: 1 + Math.floor(random() * 3) }, () => deposit(1))
        source.append(partition, { id: `acc-${partition}-${Math.floor(random() * 5)}`, events })
        appended += events.length
      }
      await until(() => ['running', 'catching-up'].includes(status('count').state))
      await new Promise(resolve => setTimeout(resolve, random() * 40))
      const before = restarts()
      await workers.at(-1)?.terminate()
      await until(() => restarts() > before, { see: host.status })
    }
    await until(() => status('count').lag === 0, { see: host.status })
    t.strictSame(await host.ask('count', 'count', {}, { timeoutMs: 60_000 }), {
      ids: appended,
      times: appended,
    })
    t.ok(restarts() >= 10, `${restarts()} times the thread was started again`)
    const ids = (await host.ask('count', 'ids', {}, { timeoutMs: 60_000 })) as string[]
    for (const partition of [1, 2, 3, 4]) {
      t.strictSame(
        ids.filter(id => id.startsWith(`bank_account/acc-${partition}-`)),
        source
          .all()
          .filter(event => event.partition === partition)
          .map(event => `${event.aggregateType}/${event.aggregateId}/${event.sequence}`),
        `partition ${partition} came in order`,
      )
    }
  })
}
