import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'soloist-examples-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function output(example: string, url: string): Promise<readonly string[]> {
  const file = fileURLToPath(new URL(`../../examples/${example}.js`, import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [file, url], { timeout: 50_000 })
  return stdout.trimEnd().split('\n')
}

describe.each(['memory', 'SQLite', 'Redis'])('on %s', store => {
  const url = () =>
    store === 'memory'
      ? 'memory:'
      : store === 'SQLite'
        ? `sqlite:${join(folder, 'locks.db')}`
        : String(process.env.SOLOIST_TEST_REDIS)

  test('of five instances one runs the tick, and a late one does not run it again', async () => {
    const lines = await output('once-per-tick', url())
    expect(lines.filter(line => line.endsWith(': runs it'))).toHaveLength(1)
    expect(lines).toHaveLength(6)
    expect(lines.at(-1)).toBe('late: another one runs it')
  })

  test('a late write is refused by its fence', async () => {
    expect(await output('fenced-write', url())).toEqual([
      'written: by the second holder',
      'refused: late, by the first holder',
      'the first holder knows: LEASE_LOST',
      'the document holds what was written by the second holder',
    ])
  })

  test('two at a time, readers together, writers alone', async () => {
    expect(await output('pool', url())).toEqual([
      'most at a time with a semaphore of 2: 2',
      'readers at a time: 3',
      'writers at a time: 1',
    ])
  })
})
