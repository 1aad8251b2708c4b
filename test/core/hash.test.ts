// The hash places data. Its values are part of the data format.
import t from 'tap'
import { hash32 } from '../../src/core/hash.ts'
import { partitionOf } from '../../src/core/partition-of.ts'

const goldenHashes: readonly (readonly [string, number])[] = [
  ['', 2872998923],
  ['a', 444641715],
  ['foobar', 202221276],
  ['bank_account\u0000acc-1', 1404658623],
  ['Grüße 🙂', 63930607],
  ['x'.repeat(1000), 1841099346],
]

/** The same two algorithms, written from their definitions with integers of any size. */
function hashByDefinition(text: string): number {
  const mask = 0xffffffffn
  let hash = 0x811c9dc5n
  for (const byte of Buffer.from(text, 'utf8')) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & mask
  hash ^= hash >> 16n
  hash = (hash * 0x85ebca6bn) & mask
  hash ^= hash >> 13n
  hash = (hash * 0xc2b2ae35n) & mask
  hash ^= hash >> 16n
  return Number(hash)
}

t.test('hash32 has the values that existing data was placed by', async t => {
  for (const [text, expected] of goldenHashes)
    t.equal(hash32(text), expected, JSON.stringify(text.slice(0, 20)))
})

t.test('hash32 is FNV-1a with the avalanche of MurmurHash3', async t => {
  for (let n = 0; n < 500; n += 1) {
    const text = `${n}-${'ä🙂z'.repeat(n % 7)}`
    if (hash32(text) !== hashByDefinition(text)) t.fail(`differs for ${text}`)
  }
  t.pass('on 500 texts')
})

t.test('an aggregate stays in its partition for ever', async t => {
  const golden = [
    ['acc-1', 32, 1],
    ['acc-2', 6, 6],
    ['acc-3', 29, 5],
    ['ärger', 6, 3],
  ] as const
  for (const [id, of32, of7] of golden) {
    t.equal(partitionOf({ type: 'bank_account', id }, 32), of32, `bank_account ${id} of 32`)
    t.equal(partitionOf({ type: 'counter', id }, 7), of7, `counter ${id} of 7`)
  }
})

t.test('type and id are kept apart', async t => {
  t.not(hash32('ab\u0000c'), hash32('a\u0000bc'))
  const partitions = 1024
  const spread = new Set(
    [
      { type: 'ab', id: 'c' },
      { type: 'a', id: 'bc' },
    ].map(key => partitionOf(key, partitions)),
  )
  t.equal(spread.size, 2)
})

t.test('partitions are 1 to n and about equally full', async t => {
  const partitions = 32
  const counts = new Map<number, number>()
  for (let n = 0; n < 32_000; n += 1) {
    const partition = partitionOf({ type: 'bank_account', id: `acc-${n}` }, partitions)
    counts.set(partition, (counts.get(partition) ?? 0) + 1)
  }
  t.equal(Math.min(...counts.keys()), 1)
  t.equal(Math.max(...counts.keys()), partitions)
  t.equal(counts.size, partitions)
  // 1000 expected with a standard deviation of 31: five of them on each side.
  for (const [partition, count] of counts) {
    if (count < 845 || count > 1155) t.fail(`partition ${partition} holds ${count} of 32,000`)
  }
})
