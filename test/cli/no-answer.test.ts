import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Bench, finished, lines } from './support.js'

const url = 'redis://user:secret@127.0.0.1:1'
const RUN = ['run', 'job', '--', 'touch', 'started']

// Each of them waits for the client of the store to give up.
describe.concurrent('a store that does not answer is exit code 69, one line with the cause, and soon over', () => {
  test.each([[RUN], [[...RUN.slice(0, 2), '--wait', '1h', ...RUN.slice(2)]], [['ls']], [['watch']], [['get', 'job']]])(
    '%j',
    async args => {
      await using bench = new Bench()
      const startedAt = performance.now()
      const { exitCode, stdout, stderr } = await finished(bench.startIn({ SOLOIST_URL: url }, args))
      expect(lines(stderr)).toEqual([
        expect.stringMatching(/^soloist: the redis backend .*ECONNREFUSED 127\.0\.0\.1:1$/),
      ])
      expect(stderr).not.toContain('secret')
      expect([exitCode, stdout]).toEqual([69, ''])
      expect(performance.now() - startedAt).toBeLessThan(20_000)
    },
  )

  test('as JSON', async () => {
    await using bench = new Bench()
    const { exitCode, stdout, stderr } = await bench.run('run', 'job', '--json', '--store', url, '--', 'true')
    expect([exitCode, stdout]).toEqual([69, ''])
    expect(JSON.parse(stderr)).toMatchObject({ event: 'failed', name: 'job', code: 'BACKEND_UNAVAILABLE' })
  })

  test('an SQLite file in a folder that is none', async () => {
    await using bench = new Bench()
    const file = join(bench.folder, 'file')
    writeFileSync(file, '')
    const { exitCode, stderr } = await finished(bench.startIn({ SOLOIST_URL: `sqlite:${file}/locks.db` }, RUN))
    expect(lines(stderr)).toHaveLength(1)
    expect(exitCode).toBe(69)
  })
})
