// When a partition that failed is tried again, and when its entry is given up.
import t from 'tap'
import { createPartitionRetries } from '../../src/query/partition-retries.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

function setUp(attemptsMax: number) {
  const clock = createManualClock()
  const said: string[] = []
  const retries = createPartitionRetries({
    clock,
    backoffMsMin: 100,
    backoffMsMax: 1000,
    attemptsMax: () => attemptsMax,
    retry: partition => void said.push(`retry ${partition}`),
    park: (partition, { message, attempts }) =>
      void said.push(`park ${partition}: ${message}, ${attempts} times`),
  })
  const fail = (message: string, isAlone: boolean, throughIndex: number | null = null) =>
    retries.add(1, { message, stack: null, time: '', isAlone, throughIndex })
  return { clock, said, retries, fail }
}

t.test('an entry is given up after so many failures, counted only where it failed alone', async t => {
  const { clock, said, fail } = setUp(2)
  t.match(fail('in a batch', false), { attempt: 1, delayMs: 100, isGivenUp: false })
  await clock.advance(100)
  t.match(fail('alone', true), { attempt: 2, delayMs: 200, isGivenUp: false })
  await clock.advance(200)
  t.match(fail('alone again', true), { attempt: 3, delayMs: 0, isGivenUp: true })
  await clock.advance(0)
  t.strictSame(said, ['retry 1', 'retry 1', 'park 1: alone again, 2 times'])
})

t.test('what is in the way of parking changes neither the reason nor the count', async t => {
  const { clock, said, fail } = setUp(1)
  fail('poison', true)
  await clock.advance(0)
  t.match(fail('the disk is full', false), { delayMs: 200 })
  await clock.advance(200)
  t.strictSame(said, ['park 1: poison, 1 times', 'park 1: poison, 1 times'])
})

t.test(
  'a partition that stands elsewhere after a restart is tried again, and its entry is another one',
  async t => {
    const { clock, said, retries, fail } = setUp(1)
    fail('it ended its thread', true)
    retries.pause()
    retries.moved(1)
    retries.resume()
    await clock.advance(1000)
    t.strictSame(said, ['retry 1'], 'the runner rests there until it is told to go on')
    t.strictSame(retries.partitions(), [1])
    retries.forget(1, 5)
    t.strictSame(retries.partitions(), [])
  },
)

t.test('suspects are remembered until they are passed', async t => {
  const { retries, fail } = setUp(3)
  fail('it ended its thread', false, 40)
  retries.forget(1, 39)
  t.strictSame(retries.suspects(), [[1, 40]])
  retries.forget(1, 40)
  t.strictSame(retries.suspects(), [])
})
