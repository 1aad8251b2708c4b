import t from 'tap'
import { majorityOf, reachedByMajority, type VoteResult, voteResult } from '../../src/raft/quorum.ts'

t.test('the majority of n voters', t => {
  const majorities = [1, 1, 2, 2, 3, 3, 4, 4]
  t.same(
    majorities.map((_, voters) => majorityOf(voters)),
    majorities,
  )
  t.end()
})

t.test('R5, R7: what a majority reached, by the value of each voter', t => {
  const table: readonly (readonly [values: readonly number[], reached: number])[] = [
    [[], 0],
    [[7], 7],
    [[7, 5], 5],
    [[7, 0], 0],
    [[7, 5, 3], 5],
    [[3, 7, 7], 7],
    [[0, 0, 7], 0],
    [[9, 7, 5, 3], 5],
    [[9, 9, 9, 0], 9],
    [[9, 9, 0, 0], 0],
    [[9, 7, 5, 3, 1], 5],
    [[1, 9, 1, 9, 9], 9],
    [[1, 9, 1, 9, 1], 1],
    [[9, 8, 7, 6, 5, 4], 6],
    [[9, 9, 9, 9, 0, 0], 9],
    [[9, 9, 9, 0, 0, 0], 0],
    [[9, 8, 7, 6, 5, 4, 3], 6],
    [[0, 0, 0, 9, 9, 9, 9], 9],
    [[0, 0, 0, 0, 9, 9, 9], 0],
    // Places are numbers, not text.
    [[100, 20, 3], 20],
  ]
  for (const [values, reached] of table) t.equal(reachedByMajority(values), reached, `[${values}]`)
  t.end()
})

t.test('every voter counts once: the value reached is held by a majority, and no higher one is', t => {
  for (let voters = 1; voters <= 7; voters += 1) {
    for (let bits = 0; bits < 3 ** voters; bits += 1) {
      const values = Array.from({ length: voters }, (_, place) => Math.floor(bits / 3 ** place) % 3)
      const reached = reachedByMajority(values)
      const holders = (value: number): number => values.filter(each => each >= value).length
      if (holders(reached) >= majorityOf(voters) && holders(reached + 1) < majorityOf(voters)) continue
      t.fail(`[${values}] gave ${reached}`)
    }
  }
  t.end()
})

t.test('whether a vote is decided: y granted, n refused, - not heard', t => {
  const table: readonly (readonly [answers: string, result: VoteResult])[] = [
    ['', 'lost'],
    ['y', 'won'],
    ['n', 'lost'],
    ['-', 'pending'],
    ['y-', 'pending'],
    ['yy', 'won'],
    ['yn', 'lost'],
    ['y--', 'pending'],
    ['yy-', 'won'],
    ['yn-', 'pending'],
    ['nn-', 'lost'],
    ['yyn-', 'pending'],
    ['yyy-', 'won'],
    ['yynn', 'lost'],
    ['nn--', 'lost'],
    ['yynn-', 'pending'],
    ['yyynn', 'won'],
    ['nnn--', 'lost'],
    ['yyy---', 'pending'],
    ['yyyy--', 'won'],
    ['nnn---', 'lost'],
    ['yyynnn-', 'pending'],
    ['yyyynnn', 'won'],
    ['nnnn---', 'lost'],
  ]
  for (const [answers, result] of table) {
    const voters = [...answers].map((_, place) => `n${place}`)
    const votes = new Map<string, boolean>()
    for (const [place, answer] of [...answers].entries())
      if (answer !== '-') votes.set(`n${place}`, answer === 'y')
    t.equal(voteResult(voters, votes), result, answers || 'no voters')
  }
  t.end()
})

t.test('R8: votes of others than the voters do not count', t => {
  const votes = new Map([
    ['a', true],
    ['learner', true],
    ['stranger', true],
  ])
  t.equal(voteResult(['a', 'b', 'c'], votes), 'pending')
  t.end()
})
