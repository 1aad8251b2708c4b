// Whom an event is about is asked in its newest version: an import brings old ones, and none of them may rest in the clear.
import t from 'tap'
import { defineAggregate } from '../../src/core/aggregate.ts'
import type { DomainEvent } from '../../src/core/event.ts'
import { subjectsOf } from '../../src/core/subjects-of.ts'

const person = defineAggregate({
  type: 'person',
  emptyState: {},
  subject: (event: DomainEvent<'Named', { readonly owner?: string }>) => event.data.owner,
  upcast: { Named: [data => ({ owner: (data as { user: string }).user })] },
  handle: () => [],
  apply: state => state,
})

t.test('an old event is lifted before its subject is asked', async t => {
  const old = { type: 'Named', version: 1, data: '{"user":"u1"}' }
  const now = { type: 'Named', version: 2, data: '{"owner":"u2"}' }
  t.same(subjectsOf(person, 'p', [old, now]), ['u1', 'u2'])
  t.throws(() => subjectsOf(person, 'p', [{ ...now, version: 3 }]), { code: 'AGGREGATE_FAILED' })
})

t.test('what is forgotten is about nobody', async t => {
  t.same(subjectsOf(person, 'p', [{ type: 'glyn.Forgotten', version: 1, data: '{"type":null}' }]), [
    undefined,
  ])
})
