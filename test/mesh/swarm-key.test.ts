import t from 'tap'
import { createSwarmKey, parseSwarmKey } from '../../src/mesh/libp2p/swarm-key.ts'

const lines = (...parts: readonly string[]): Uint8Array => Buffer.from(parts.join('\n'))
const digits = 'ab'.repeat(32)

t.test('a new secret has 95 bytes and is read back', async t => {
  const key = createSwarmKey()
  t.equal(key.length, 95)
  t.same(parseSwarmKey(key, 'x'), key)
  t.notSame(createSwarmKey(), key)
})

t.test('line ends of other systems and at the end do not matter', async t => {
  const plain = lines('/key/swarm/psk/1.0.0/', '/base16/', digits)
  t.same(parseSwarmKey(lines('/key/swarm/psk/1.0.0/', '/base16/', digits, ''), 'x'), plain)
  t.same(
    parseSwarmKey(lines('/key/swarm/psk/1.0.0/\r', '/base16/\r', `${digits.toUpperCase()}\r`), 'x'),
    plain,
  )
})

t.test('what is wrong is said, without showing the secret', async t => {
  const cases: readonly [Uint8Array, RegExp][] = [
    [lines(''), /it is empty/],
    [lines('a'.repeat(2000)), /it has 2000 bytes/],
    [lines('/key/swarm/psk/1.0.0/', '/base16/'), /it has 2 lines/],
    [lines('/key/', '/base16/', digits), /its first line is not/],
    [lines('/key/swarm/psk/1.0.0/', '/base64/', digits), /its second line is not/],
    [lines('/key/swarm/psk/1.0.0/', '/base16/', digits.slice(1)), /its key has 63 digits/],
    [lines('/key/swarm/psk/1.0.0/', '/base16/', `x${digits.slice(1)}`), /no hex digits/],
  ]
  for (const [bytes, message] of cases) {
    t.throws(() => parseSwarmKey(bytes, 'swarm.key'), { code: 'INVALID_CONFIGURATION', message })
    t.throws(() => parseSwarmKey(bytes, 'swarm.key'), { message: /^swarm\.key is not a mesh secret/ })
    try {
      parseSwarmKey(bytes, 'swarm.key')
    } catch (error) {
      t.notMatch(String(error), /abab/)
    }
  }
})
