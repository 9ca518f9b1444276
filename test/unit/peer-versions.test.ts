import { describe, expect, test } from 'vitest'
// Internal: which versions of other packages are taken.
import { checkVersion, SUPPORTED, versionIn } from '../../dist/internal/peers/versions.js'

const peers = Object.keys(SUPPORTED) as (keyof typeof SUPPORTED)[]
const oldestOf = (name: keyof typeof SUPPORTED) => SUPPORTED[name].slice(1).split(' ')[0] as string

describe('a version that is taken', () => {
  test.each(peers)('the oldest of %s', name => {
    expect(() => checkVersion(name, oldestOf(name))).not.toThrow()
  })

  test.each([
    ['a later one of the same major', '5.81.5'],
    ['the first of the newest major', '6.0.0'],
    ['one of a major that is not known yet', '7.2.1'],
    ['a pre-release of one that is', '6.0.0-beta.3'],
    ['a pre-release of the oldest', '5.78.0-rc.1'],
    ['one with the name of its build', '5.80.0+2026'],
  ])('%s', (_, version) => {
    expect(() => checkVersion('bullmq', version)).not.toThrow()
  })

  test.each([null, undefined, 5, {}, '', 'workspace:*', '5', 'v5.0.0', '5.0'])('what is none: %j', version => {
    expect(() => checkVersion('bullmq', version)).not.toThrow()
  })
})

test.each([
  ['bullmq', '5.77.7'],
  ['bullmq', '5.77.7-rc.1'],
  ['bullmq', '4.99.0'],
  ['ioredis', '5.2.6'],
  ['ioredis', '4.28.5'],
  ['libsql', '0.5.1'],
  ['libsql', '0.4.7'],
  ['redis', '5.8.3'],
] as const)('%s %s is too old: the error names it, and what is supported', (name, version) => {
  const thrown = expect.objectContaining({ name: 'SoloistError', code: 'BACKEND_UNAVAILABLE' })
  const check = () => checkVersion(name, version)
  expect(check).toThrow(thrown)
  expect(check).toThrow(`${name} ${version} is installed`)
  expect(check).toThrow(`${name} ${SUPPORTED[name]} is supported`)
})

test.each([
  ['a package.json that cannot be loaded', () => expect.fail('no such file')],
  ['one that is empty', () => ({})],
  ['one that is no object', () => null],
])('%s has no version', (_, loadManifest) => {
  expect(versionIn(loadManifest)).toBe(null)
})
