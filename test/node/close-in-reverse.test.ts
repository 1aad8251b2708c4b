// Closing goes on where something fails: the lock of a data directory is released, whatever the parts before it did.
import t from 'tap'
import { closeInReverse } from '../../src/node/close-in-reverse.ts'

t.test('everything is closed, last opened first, also when something fails', async t => {
  const closed: string[] = []
  const closers = [
    () => void closed.push('directory'),
    async () => {
      closed.push('mesh')
      throw new Error('the mesh is stuck')
    },
    () => {
      closed.push('queries')
      throw new Error('a query is stuck')
    },
  ]
  await t.rejects(closeInReverse(closers), { message: 'a query is stuck' })
  t.same(closed, ['queries', 'mesh', 'directory'])
  await closeInReverse(closers)
  t.same(closed.length, 3, 'once')
})
