// What docs/moving/proper-lockfile.md says of running both at once.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { check, lock } from 'proper-lockfile'
import { connect } from 'soloist'
import { afterAll, beforeEach, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'soloist-moving-'))
const file = join(folder, 'counter.txt')
const COUNTER = fileURLToPath(new URL('children/counter.js', import.meta.url))
const TIMES = 25

beforeEach(() => writeFileSync(file, '0'))
afterAll(() => rmSync(folder, { recursive: true }))

const count = (version: 'old' | 'new') => promisify(execFile)(process.execPath, [COUNTER, version, file, String(TIMES)])

test('processes of the old version and of the new one, which takes both, lose no addition', async () => {
  await Promise.all([count('old'), count('new'), count('old'), count('new')])
  expect(readFileSync(file, 'utf8')).toBe(String(4 * TIMES))
}, 60_000)

test('the two locks do not see each other', async () => {
  await using solo = connect(`sqlite:${file}.db`)
  const lease = await solo.lock(file)
  expect(await check(file)).toBe(false)
  const release = await lock(file)
  await lease.release()
  expect(await solo.inspect(file)).toBeNull()
  await release()
})

test('what is held when the process exits is removed', async () => {
  const script = "require('proper-lockfile').lock(process.argv[1]).then(() => process.exit())"
  await promisify(execFile)(process.execPath, ['-e', script, file], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  })
  expect(await check(file)).toBe(false)
})
