// Waiting out a change of leader at the replica that was asked.
import t from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import { createLeaderTable } from '../../src/registry/leader-table.ts'
import { createLeaderWait, type LeaderWait } from '../../src/registry/leader-wait.ts'
import { createManualClock, type ManualClock } from '../mesh/manual-clock.ts'

function setting(isReplica = true): {
  readonly clock: ManualClock
  readonly wait: LeaderWait
  /** Consensus has news of partition 1. */
  readonly tell: () => void
} {
  const clock = createManualClock()
  const table = createLeaderTable({ fromConsensus: () => undefined })
  const wait = createLeaderWait({ table, clock, isReplica: () => isReplica })
  return { clock, wait, tell: () => table.changed(1) }
}

const notLeader = (leader: string | null): GlynError =>
  new GlynError('NOT_LEADER', 'this node does not lead', { details: { partition: 1, leader, term: 2 } })

/** Fails with the errors in turn, then answers. */
function attempts(...errors: readonly Error[]): { readonly count: () => number; run(): Promise<string> } {
  let count = 0
  return {
    count: () => count,
    async run() {
      const error = errors[count++]
      if (error !== undefined) throw error
      return 'done'
    },
  }
}

t.test('it is done here when this replica becomes the leader', async t => {
  const { clock, wait, tell } = setting()
  const work = attempts(notLeader(null), notLeader(null))
  const answer = wait.run(1, work.run)
  await clock.advance(10)
  t.equal(wait.waiting(), 1)
  tell()
  await clock.advance(10)
  t.equal(work.count(), 2, 'news that name no leader do not end the wait')
  tell()
  t.equal(await answer, 'done')
  t.equal(wait.waiting(), 0)
})

t.test('the new leader is named as soon as it is known', async t => {
  const { clock, wait, tell } = setting()
  const answer = wait.run(1, attempts(notLeader(null), notLeader('b')).run)
  await clock.advance(10)
  tell()
  await t.rejects(answer, { code: 'NOT_LEADER', details: { leader: 'b' } })
})

t.test('it ends after 200 ms without news', async t => {
  const { clock, wait } = setting()
  const work = attempts(notLeader(null), notLeader(null), notLeader(null))
  const answer = wait.run(1, work.run)
  await clock.advance(199)
  t.equal(wait.waiting(), 1)
  answer.catch(() => {})
  await clock.advance(1)
  await t.rejects(answer, { code: 'NOT_LEADER', details: { leader: null } })
  t.equal(work.count(), 2)
})

t.test('other failures, and those of a node without a replica, are not waited for', async t => {
  const overloaded = new GlynError('OVERLOADED', 'too much')
  await t.rejects(setting().wait.run(1, attempts(overloaded).run), { code: 'OVERLOADED' })
  await t.rejects(setting().wait.run(1, attempts(notLeader('b')).run), {
    code: 'NOT_LEADER',
    details: { leader: 'b' },
  })
  await t.rejects(setting(false).wait.run(1, attempts(notLeader(null)).run), { code: 'NOT_LEADER' })
})
