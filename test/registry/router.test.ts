// The router: follows redirects, waits out elections, and says why when the deadline comes.
import t from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import { createLeaderTable, type KnownLeader, type LeaderTable } from '../../src/registry/leader-table.ts'
import { createRouter, type Route, type Router } from '../../src/registry/router.ts'
import { createManualClock, type ManualClock } from '../mesh/manual-clock.ts'

interface Setting {
  readonly clock: ManualClock
  readonly table: LeaderTable
  readonly router: Router
  readonly asked: string[]
  /** Routes to partition 1; each target answers as `answers` says. */
  ask(
    answers: Readonly<Record<string, () => Promise<string>>>,
    more?: Partial<Route<string>>,
  ): Promise<string>
}

function setting(here?: KnownLeader, candidates: readonly string[] = []): Setting {
  const clock = createManualClock()
  const table = createLeaderTable({ fromConsensus: () => here })
  const router = createRouter({ self: 'self', table, clock, random: () => 0.5, candidates: () => candidates })
  const asked: string[] = []
  return {
    clock,
    table,
    router,
    asked,
    ask(answers, more = {}) {
      const answerOf = (target: string): Promise<string> => {
        asked.push(target)
        const answer = answers[target]
        return answer === undefined ? Promise.reject(unreachable(target)) : answer()
      }
      return router.route({
        partition: 1,
        timeoutMs: 5000,
        here: () => answerOf('self'),
        there: answerOf,
        ...more,
      })
    },
  }
}

const unreachable = (peer: string): GlynError => new GlynError('PEER_UNREACHABLE', `${peer} is not connected`)
const notLeader =
  (leader: string | null, term = 1) =>
  async (): Promise<never> => {
    throw new GlynError('NOT_LEADER', 'this node does not lead', { details: { leader, term } })
  }
const yes = async (): Promise<string> => 'yes'
const silent = (): Promise<never> => new Promise(() => {})

t.test('what is led here is asked here', async t => {
  const { ask, asked } = setting({ leader: 'self', term: 1 })
  t.equal(await ask({ self: yes }), 'yes')
  t.same(asked, ['self'])
})

t.test('a redirect is followed at once and remembered', async t => {
  const { ask, asked, table } = setting(undefined, ['a'])
  t.equal(await ask({ a: notLeader('b', 7), b: yes }), 'yes')
  t.same(asked, ['a', 'b'])
  t.same(table.leaderOf(1), { leader: 'b', term: 7 })
  t.equal(await ask({ b: yes }), 'yes')
  t.same(asked, ['a', 'b', 'b'])
})

t.test('two nodes that name each other are not asked without a pause', async t => {
  const { ask, asked, clock } = setting(undefined, ['a'])
  const answer = ask({ a: notLeader('b', 1), b: notLeader('a', 1) }, { timeoutMs: 1000 })
  answer.catch(() => {})
  await clock.advance(1000)
  await t.rejects(answer, { code: 'UNAVAILABLE' })
  t.ok(asked.length < 60, `${asked.length} attempts in a second`)
})

t.test('without a known leader the candidates are asked in turn', async t => {
  const { ask, asked, clock } = setting(undefined, ['a', 'b', 'c'])
  const answer = ask({ c: yes })
  await clock.advance(1000)
  t.equal(await answer, 'yes')
  t.same(asked, ['a', 'b', 'c'])
})

t.test('an election is waited out, and its end wakes the caller', async t => {
  const { ask, asked, clock, table } = setting()
  let outcome = ''
  const answer = ask({ b: yes }).then(found => {
    outcome = found
  })
  await clock.advance(1500)
  t.equal(outcome, '')
  t.same(asked, [])
  table.learn(1, { leader: 'b', term: 2 })
  await clock.advance(0)
  await answer
  t.equal(outcome, 'yes')
})

t.test('a leader that is silent is left for the next one when that is elected', async t => {
  const { ask, asked, clock, table } = setting()
  table.learn(1, { leader: 'a', term: 1 })
  const answer = ask({ a: silent, b: yes })
  await clock.advance(700)
  table.learn(1, { leader: 'b', term: 2 })
  await clock.advance(300)
  t.equal(await answer, 'yes')
  t.same(asked, ['a', 'b'])
})

t.test('a leader that is silent is given up after a while, without news too', async t => {
  const { ask, asked, clock, table } = setting(undefined, ['b'])
  table.learn(1, { leader: 'a', term: 1 })
  const answer = ask({ a: silent, b: yes })
  await clock.advance(4000)
  t.equal(await answer, 'yes')
  t.same(asked, ['a', 'b'])
})

t.test('after the deadline it says so, with the last reason', async t => {
  const { ask, clock } = setting(undefined, ['a'])
  const answer = ask({})
  answer.catch(() => {})
  await clock.advance(4900)
  let isOver = false
  answer.catch(() => {
    isOver = true
  })
  await clock.advance(0)
  t.equal(isOver, false, 'not before the deadline')
  await clock.advance(200)
  await t.rejects(answer, {
    code: 'UNAVAILABLE',
    retryable: true,
    message: 'partition 1 could not be reached within 5000 ms: a is not connected',
  })
})

t.test('an overload is called by its name', async t => {
  const { ask, clock, table } = setting()
  table.learn(1, { leader: 'a', term: 1 })
  const answer = ask({
    a: async () => {
      throw new GlynError('OVERLOADED', 'full')
    },
  })
  answer.catch(() => {})
  await clock.advance(5100)
  await t.rejects(answer, { code: 'OVERLOADED', message: 'full' })
})

t.test('what no retry can cure passes at once', async t => {
  const { ask, asked, table } = setting()
  table.learn(1, { leader: 'a', term: 1 })
  await t.rejects(
    ask({
      a: async () => {
        throw new GlynError('UNKNOWN_COMMAND', 'no such')
      },
    }),
    { code: 'UNKNOWN_COMMAND' },
  )
  await t.rejects(
    ask({
      a: async () => {
        throw new TypeError('a mistake')
      },
    }),
    { name: 'TypeError' },
  )
  t.same(asked, ['a', 'a'])
})

t.test('a caller that gives up is answered at once', async t => {
  const { ask, table, clock } = setting()
  const leaving = new AbortController()
  const answer = ask({}, { signal: leaving.signal, timeoutMs: 60_000 })
  answer.catch(() => {})
  await clock.advance(10)
  leaving.abort(new Error('enough'))
  let ended = false
  answer.catch(() => {
    ended = true
  })
  await clock.advance(1)
  t.equal(ended, true, 'while waiting for an election')
  await t.rejects(answer, { code: 'TIMEOUT', cause: { message: 'enough' } })

  table.learn(1, { leader: 'a', term: 1 })
  const busy = new AbortController()
  const second = ask({ a: silent }, { signal: busy.signal })
  second.catch(() => {})
  busy.abort(new Error('enough'))
  await t.rejects(second, { code: 'TIMEOUT' }, 'while the leader is at work')
  t.equal(table.leaderOf(1).leader, 'a', 'the leader is not to blame')
  await t.rejects(ask({ a: yes }, { signal: busy.signal }), { code: 'TIMEOUT' }, 'before anything is asked')
})

t.test('requests under way are counted, whatever becomes of them', async t => {
  const { ask, router, table } = setting()
  table.learn(1, { leader: 'a', term: 1 })
  const answer = Promise.withResolvers<string>()
  const asked = [ask({ a: () => answer.promise }), ask({ a: () => answer.promise })]
  t.equal(router.underWay(), 2)
  answer.reject(new GlynError('UNKNOWN_COMMAND', 'no such'))
  await Promise.allSettled(asked)
  t.equal(router.underWay(), 0)
})

t.test('a node that stops routes no more', async t => {
  const { ask, router, clock } = setting()
  const answer = ask({})
  answer.catch(() => {})
  await clock.advance(10)
  router.stop()
  await clock.advance(500)
  await t.rejects(answer, { code: 'SHUTTING_DOWN' })
})
