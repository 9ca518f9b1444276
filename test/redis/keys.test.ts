import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'
import { KeySpace } from '../../dist/backends/redis/keys.js'
import { Request } from '../../dist/backends/redis/protocol/request.js'
import { words } from '../../dist/backends/redis/protocol/words.js'
import { HashTags } from '../../dist/backends/redis/slots.js'

const redis = new Redis(
  String(process.env.SOLOIST_TEST_REDIS_CLUSTER)
    .split(',')
    .map(node => `redis://${node}`)[0] ?? '',
)
afterAll(() => redis.disconnect())

const PREFIXES = ['soloist:', '', '{', '}', '{app}:', 'a}', 'a{', '{{', '}{']
/** Names made of what matters to the rules: braces, colons, the letters of the side keys, tildes. */
const awkward = fc.string({
  unit: fc.constantFrom('{', '}', ':', 's', 'q', 'w', 'd', 'f', 'r', '2', '~', 'a'),
  minLength: 1,
  maxLength: 8,
})
const keysOf = (space: KeySpace, name: string) => Object.values(space.keys(name)) as string[]
const SPACES: [string, KeySpace][] = [
  ...PREFIXES.map(prefix => [prefix, new KeySpace(prefix)] as [string, KeySpace]),
  ...['soloist:', '', '}'].map(prefix => [prefix, new KeySpace(prefix, new HashTags(3))] as [string, KeySpace]),
]
const spaces = fc.constantFrom(...SPACES)

test('two different names never share a key', () => {
  fc.assert(
    fc.property(spaces, awkward, awkward, ([prefix, space], a, b) => {
      fc.pre(a !== b)
      const shared = keysOf(space, a).filter(key => keysOf(space, b).includes(key))
      expect(shared, `${JSON.stringify(a)} and ${JSON.stringify(b)} under ${JSON.stringify(prefix)}`).toEqual([])
      expect(new Set(keysOf(space, a)).size).toBe(3)
    }),
    { numRuns: 20_000 },
  )
})

test('what an owner left is kept under a key of its own, which is no key of any lock', () => {
  const claims = fc.tuple(awkward, fc.string({ maxLength: 3 }))
  fc.assert(
    fc.property(spaces, claims, claims, ([prefix, space], [name, owner], [otherName, otherOwner]) => {
      const key = space.result(name, owner)
      for (const some of [name, otherName, key.slice(prefix.length)]) expect(keysOf(space, some)).not.toContain(key)
      expect(space.nameOf(key)).toBe(null)
      expect(space.result(otherName, otherOwner) === key).toBe(name === otherName && owner === otherOwner)
    }),
    { numRuns: 10_000 },
  )
})

test('a fence mark is no key of any lock, nor what an owner left', () => {
  fc.assert(
    fc.property(spaces, awkward, awkward, ([prefix, space], name, other) => {
      for (const mark of [space.mark, space.markOf(name)]) {
        for (const some of [name, other, mark.slice(prefix.length) || 'a']) {
          expect([...keysOf(space, some), space.result(some, 'owner')]).not.toContain(mark)
        }
        expect(space.nameOf(mark)).toBe(null)
      }
    }),
    { numRuns: 10_000 },
  )
})

test('locks whose keys have one hash tag share a mark, and others do not', () => {
  const space = new KeySpace('soloist:')
  expect(space.mark).toBe('{soloist:}:f2')
  expect(space.markOf('{eu}:a')).toBe('soloist:{eu}:f2')
  expect(space.markOf('{eu}:b')).toBe('soloist:{eu}:f2')
  expect(space.markOf('a')).toBe('{soloist:a}:f2')
})

test('a name is found again from each of its keys that shows a lock in use, and from no other', () => {
  fc.assert(
    fc.property(spaces, fc.oneof(awkward, fc.string({ unit: 'binary', minLength: 1 })), ([, space], name) => {
      const { lock, queue, details } = space.keys(name)
      for (const key of [lock, queue]) expect(space.nameOf(key)).toBe(name)
      expect(space.nameOf(details)).toBe(null)
    }),
    { numRuns: 10_000 },
  )
})

test('an ordinary name is found with a plain GET', () => {
  expect(new KeySpace('soloist:').own('nightly-report')).toBe('soloist:nightly-report')
  expect(new KeySpace('soloist:').own('report:{eu}:q2')).toBe('soloist:report:{eu}:q2~')
})

test("the side keys of the first layout are no lock's, so that both can be in one store", () => {
  const space = new KeySpace('soloist:')
  for (const end of ['s', 'q', 'w', 'd', 'f']) {
    expect(space.nameOf(`{soloist:a}:${end}`)).toBe(null)
    expect(space.nameOf(`soloist:{eu}:a:${end}`)).toBe(null)
    expect(space.own(`{eu}:${end}`)).toBe(`soloist:{eu}:${end}~`)
  }
})

/** The lock's own key as the first layout had it. */
function ownBefore(prefix: string, name: string): string {
  const hasTag = (key: string) => /^[^{]*\{[^}]+\}/.test(key)
  const isTag = (key: string) => key.length > 2 && key.startsWith('{') && key.indexOf('}') === key.length - 1
  let key = prefix + name
  if (name.startsWith('{~}') || isTag(key) || (key.includes('}') && !hasTag(key))) key = `${prefix}{~}${name}`
  return key.includes('{') && /:[sqwdfr]~*$/.test(key) ? `${key}~` : key
}

test('a lock has the same key of its own as in the first layout, so that mutexes of both exclude each other', () => {
  fc.assert(
    fc.property(fc.constantFrom(...PREFIXES), awkward, (prefix, name) => {
      // But for names with a brace that end like a side key of now.
      fc.pre(!/:[qdfr]2~*$/.test(prefix + name))
      expect(new KeySpace(prefix).own(name)).toBe(ownBefore(prefix, name))
    }),
    { numRuns: 10_000 },
  )
})

test('all keys of a lock are in one slot of a cluster', async () => {
  const names = fc.sample(awkward, { numRuns: 300, seed: 7 })
  for (const [prefix, space] of SPACES) {
    const keys = names.flatMap(name => [...keysOf(space, name), space.result(name, 'owner'), space.markOf(name)])
    const slots = await Promise.all(keys.map(key => redis.cluster('KEYSLOT', key)))
    names.forEach((name, i) => {
      const mine = new Set(slots.slice(5 * i, 5 * i + 5))
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

test('the keys of a lock are sent as they are', () => {
  fc.assert(
    fc.property(spaces, fc.oneof(awkward, fc.string({ minLength: 1 })), ([, space], name) => {
      const command = new Request().lock(name, space).arg('').arg(name).command('evalsha', 'digest')
      expect(words(command)).toEqual(['evalsha', 'digest', '3', ...keysOf(space, name), '', name])
    }),
    { numRuns: 5_000 },
  )
})
