import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'
import { KeySpace } from '../../dist/backends/redis/keys.js'

const redis = new Redis(
  String(process.env.SOLOIST_TEST_REDIS_CLUSTER)
    .split(',')
    .map(node => `redis://${node}`)[0] ?? '',
)
afterAll(() => redis.disconnect())

const PREFIXES = ['soloist:', '', '{', '}', '{app}:', 'a}', 'a{', '{{', '}{']
/** Names made of what matters to the rules: braces, colons, the letters of the side keys, tildes. */
const awkward = fc.string({
  unit: fc.constantFrom('{', '}', ':', 's', 'q', 'w', 'd', 'f', 'r', '~', 'a'),
  minLength: 1,
  maxLength: 7,
})
const prefixes = fc.constantFrom(...PREFIXES)

test('two different names never share a key', () => {
  fc.assert(
    fc.property(prefixes, awkward, awkward, (prefix, a, b) => {
      fc.pre(a !== b)
      const space = new KeySpace(prefix)
      const shared = space.keys(a).filter(key => space.keys(b).includes(key))
      expect(shared, `${JSON.stringify(a)} and ${JSON.stringify(b)} under ${JSON.stringify(prefix)}`).toEqual([])
      expect(new Set(space.keys(a)).size).toBe(6)
    }),
    { numRuns: 20_000 },
  )
})

test('what an owner left is kept under a key of its own, which is no key of any lock', () => {
  const claims = fc.tuple(awkward, fc.string({ maxLength: 3 }))
  fc.assert(
    fc.property(prefixes, claims, claims, (prefix, [name, owner], [otherName, otherOwner]) => {
      const space = new KeySpace(prefix)
      const key = space.result(name, owner)
      for (const some of [name, otherName, key.slice(prefix.length)]) expect(space.keys(some)).not.toContain(key)
      expect(space.nameOf(key)).toBe(null)
      expect(space.result(otherName, otherOwner) === key).toBe(name === otherName && owner === otherOwner)
    }),
    { numRuns: 10_000 },
  )
})

test('a name is found again from each of its keys that shows a lock in use, and from no other', () => {
  fc.assert(
    fc.property(prefixes, fc.oneof(awkward, fc.string({ unit: 'binary', minLength: 1 })), (prefix, name) => {
      const space = new KeySpace(prefix)
      const [lock, shared, queue, ...others] = space.keys(name)
      for (const key of [lock, shared, queue]) expect(space.nameOf(String(key))).toBe(name)
      for (const key of others) expect(space.nameOf(key)).toBe(null)
    }),
    { numRuns: 10_000 },
  )
})

test('an ordinary name is found with a plain GET', () => {
  expect(new KeySpace('soloist:').keys('nightly-report')[0]).toBe('soloist:nightly-report')
  expect(new KeySpace('soloist:').keys('report:{eu}:s')[0]).toBe('soloist:report:{eu}:s~')
})

test('all keys of a lock are in one slot of a cluster', async () => {
  const names = fc.sample(awkward, { numRuns: 300, seed: 7 })
  for (const prefix of PREFIXES) {
    const space = new KeySpace(prefix)
    const keys = names.flatMap(name => [...space.keys(name), space.result(name, 'owner')])
    const slots = await Promise.all(keys.map(key => redis.cluster('KEYSLOT', key)))
    names.forEach((name, i) => {
      const mine = new Set(slots.slice(7 * i, 7 * i + 7))
      expect(mine.size, `slots of ${JSON.stringify(name)} under ${JSON.stringify(prefix)}`).toBe(1)
    })
  }
})

test('the patterns take the start of a name literally', async () => {
  const space = new KeySpace('p*[a]?:')
  expect(space.patterns('a[b]^-\\')).toEqual([
    'p\\*\\[a\\]\\?:a\\[b\\]\\^\\-\\\\*',
    '{p\\*\\[a\\]\\?:a\\[b\\]\\^\\-\\\\*',
    'p\\*\\[a\\]\\?:{~}a\\[b\\]\\^\\-\\\\*',
  ])
})

test('a prefix after which no hash tag can follow is refused', () => {
  expect(() => new KeySpace('a{}')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})
