// What the next leader finds: the last part of the checkpoints that is whole, with all that is known.
import t from 'tap'
import type { CommandEnvelope } from '../../src/core/command.ts'
import { limits } from '../../src/core/limits.ts'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import {
  applyChange,
  type Checkpoint,
  type CheckpointChange,
  checkpointKey,
  lastPart,
  noCheckpoint,
  type PendingTimer,
  timerKey,
} from '../../src/reaction/checkpoint-aggregate.ts'
import { createCheckpointer } from '../../src/reaction/checkpointer.ts'
import type { ReactionEnvironment } from '../../src/reaction/reaction.ts'

const partition = 3

/** Checkpoint aggregates in a map, by id */
function createWorld() {
  const parts = new Map<string, { state: Checkpoint; sequence: number }>()
  const world = {
    parts,
    ids: [] as string[],
    execute(_partition: number, { aggregate, command, commandId }: CommandEnvelope) {
      const bytes = Buffer.byteLength(JSON.stringify(command.data))
      if (bytes > limits.dataBytesMax) return Promise.reject(new Error(`${bytes} bytes fit no event`))
      const { state, sequence } = parts.get(aggregate.id) ?? { state: noCheckpoint, sequence: 0 }
      world.ids.push(commandId)
      parts.set(aggregate.id, {
        state: applyChange(state, command.data as CheckpointChange),
        sequence: sequence + 1,
      })
      return Promise.resolve({} as Awaited<ReturnType<ReactionEnvironment['execute']>>)
    },
    last: () =>
      lastPart(
        { readAggregate: ({ id }) => (parts.has(id) ? [{} as never] : []) },
        partition,
        Number.MAX_SAFE_INTEGER,
      ),
  }
  return world
}

function leadIn(
  world: ReturnType<typeof createWorld>,
  known: Parameters<typeof createCheckpointer>[0]['known'],
) {
  const over = new AbortController()
  const environment = {
    clock: systemClock,
    log: silentLog,
    execute: world.execute,
    checkpointsPerPartMax: 3,
  } as unknown as ReactionEnvironment
  const checkpointer = createCheckpointer({ environment, partition, term: 1, known, signal: over.signal })
  return { checkpointer, over }
}

const timer = (n: number): PendingTimer => ({
  process: 'p',
  instance: `i-${n}`,
  name: 'due',
  setBy: 1,
  dueMs: n,
  delayMs: n,
})
const nothing = { state: noCheckpoint, part: 1, sequence: 0, lastPart: 1 }
const done = { performed: 1, passed: 0 }

t.test('a part begins with all that is known, and the next one after so many entries', async t => {
  const world = createWorld()
  const { checkpointer, over } = leadIn(world, nothing)
  t.teardown(() => over.abort())
  for (let index = 1; index <= 10; index += 1) {
    checkpointer.set(timer(index))
    if (index > 2) checkpointer.gone(timerKey(timer(index - 2)))
    checkpointer.note('handler/a', index, done)
    if (index === 1) checkpointer.note('handler/rare', 7, done)
    await checkpointer.flush()
  }
  t.equal(new Set(world.ids).size, world.ids.length, 'no two have one id')
  const last = await world.last()
  t.ok(last > 2, `${last} parts`)
  for (let part = 1; part <= last; part += 1)
    t.ok((world.parts.get(checkpointKey(partition, part).id)?.sequence ?? 0) <= 4, `part ${part} is short`)
  const { state } = world.parts.get(checkpointKey(partition, last).id) ?? { state: noCheckpoint }
  t.strictSame(state, {
    positions: { 'handler/a': 10, 'handler/rare': 7 },
    timers: { [timerKey(timer(9))]: timer(9), [timerKey(timer(10))]: timer(10) },
    isWhole: true,
  })
})

t.test(
  'a part that a leader began and did not end does not count, and no other begins at its number',
  async t => {
    const world = createWorld()
    world.parts.set('3.1', { state: { positions: { x: 5 }, timers: {}, isWhole: false }, sequence: 3 })
    world.parts.set('3.2', { state: { positions: {}, timers: {}, isWhole: false }, sequence: 1 })
    const known = {
      state: { positions: { x: 5 }, timers: {}, isWhole: false },
      part: 1,
      sequence: 3,
      lastPart: 2,
    }
    const { checkpointer, over } = leadIn(world, known)
    t.teardown(() => over.abort())
    checkpointer.note('x', 6, done)
    await checkpointer.flush()
    t.equal(await world.last(), 3)
    t.strictSame(world.parts.get('3.3')?.state, { positions: { x: 6 }, timers: {}, isWhole: true })
    t.equal(world.parts.get('3.2')?.sequence, 1)
  },
)

t.test('an instance that ends with very many timers does not stop the checkpoints', async t => {
  const world = createWorld()
  const { checkpointer, over } = leadIn(world, nothing)
  t.teardown(() => over.abort())
  const instance = 'i'.repeat(limits.nameBytesMax)
  const all = Array.from({ length: 10_000 }, (_, n) => ({ ...timer(n), instance, name: `#1.${n}` }))
  for (const one of all) checkpointer.gone(timerKey(one))
  checkpointer.set(timer(1))
  checkpointer.note('process/p/timers', 6, done)
  await Promise.race([checkpointer.flush(), new Promise(resolve => setTimeout(resolve, 5000).unref())])
  const { state } = world.parts.get(checkpointKey(partition, await world.last()).id) ?? {
    state: noCheckpoint,
  }
  t.strictSame(state.positions, { 'process/p/timers': 6 })
  t.strictSame(state.timers, { [timerKey(timer(1))]: timer(1) })
})

t.test('the last of many parts is found in a few looks', async t => {
  for (const count of [0, 1, 2, 3, 4, 5, 31, 32, 33, 1000]) {
    let looks = 0
    const readAggregate = ({ id }: { id: string }) => {
      looks += 1
      return Number(id.split('.')[1]) <= count ? [{} as never] : []
    }
    t.equal(await lastPart({ readAggregate }, partition, 1), Math.max(1, count))
    t.ok(looks <= 22, `${looks} looks for ${count}`)
  }
})

t.test('after the leadership nothing is written', async t => {
  const world = createWorld()
  const { checkpointer, over } = leadIn(world, nothing)
  checkpointer.note('x', 6, done)
  over.abort()
  await checkpointer.flush()
  t.equal(world.parts.size, 0)
})
