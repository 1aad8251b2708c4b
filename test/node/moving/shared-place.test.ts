// The database that `export` and `import` name: the same text as `start` takes, and no secret in what they say of it.
import t from 'tap'
import { openSharedPlace } from '../../../src/node/moving/shared-store.ts'

t.test('the schema of the URL is the one that is opened', async t => {
  await t.rejects(openSharedPlace('postgres://bank@127.0.0.1:1/bank?schema=Not-one', {}), {
    code: 'INVALID_CONFIGURATION',
    message: /schema is "Not-one"/,
  })
})

t.test('another kind of URL is refused without its password', async t => {
  const error: unknown = await openSharedPlace('mysql://me:geheim@db/bank', {}).catch((e: unknown) => e)
  t.match(error, { code: 'INVALID_ARGUMENT', message: /allowed: postgres:\/\// })
  t.notMatch(String(error), /geheim/)
})
