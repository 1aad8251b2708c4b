import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { loadOrCreateIdentity } from '../../src/mesh/libp2p/identity.ts'

t.test('an identity is made once and stays', async t => {
  const folder = t.testdir()
  const path = join(folder, 'identity.key')
  const first = await loadOrCreateIdentity(path)
  const second = await loadOrCreateIdentity(path)
  t.same([first.created, second.created], [true, false])
  t.equal(second.peerId, first.peerId)
  t.ok(second.privateKey.equals(first.privateKey))
  t.equal((await stat(path)).mode & 0o777, 0o600)
})

t.test('several who make it at once get the same', async t => {
  const path = join(t.testdir(), 'identity.key')
  const all = await Promise.all(Array.from({ length: 5 }, () => loadOrCreateIdentity(path)))
  t.equal(new Set(all.map(one => one.peerId)).size, 1)
  t.equal(all.filter(one => one.created).length, 1)
})

t.test('a file that is no identity is named and left alone', async t => {
  const path = join(t.testdir(), 'identity.key')
  await writeFile(path, 'hello')
  await t.rejects(loadOrCreateIdentity(path), {
    code: 'INVALID_CONFIGURATION',
    message: /identity\.key is not an identity/,
  })
  t.equal(await readFile(path, 'utf8'), 'hello')
  await t.rejects(loadOrCreateIdentity(t.testdir()), {
    code: 'INVALID_CONFIGURATION',
    message: /cannot read/,
  })
})
