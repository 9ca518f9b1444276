import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { page } from '../../examples/cron/page.js'
import { type Line, problemsOf } from '../../examples/cron/run.js'
import { startRedis } from '../support/redis-server.js'
import { Program, timeout } from './program.js'

const MAIN = fileURLToPath(new URL('../../examples/cron/main.js', import.meta.url))

const example = (...args: string[]) => new Program(MAIN, args)

test.concurrent.each(['SQLite', 'Redis'])('on %s each tick is run, and one again', { timeout }, async kind => {
  const redis = kind === 'Redis' ? await startRedis() : null
  const folder = mkdtempSync(join(tmpdir(), 'soloist-cron-test-'))
  try {
    const out = join(folder, 'made', 'ticks.html')
    await using program = example('--seconds', '16', '--out', out, ...(redis ? ['--store', redis.url] : []))
    const { exitCode, printed } = await program.ended
    expect(printed).toMatch(/^\d+ ticks, each of them run\n1 run again by another instance/)
    expect(exitCode).toBe(0)
    const html = readFileSync(out, 'utf8')
    expect(html).toContain('clock +850 ms')
    expect(html.match(/class="killed" d=/g)).toHaveLength(1)
    expect(html.match(/<rect class="again"/g)).toHaveLength(1)
    expect(html.match(/<rect class="run"/g)?.length).toBeGreaterThan(3)
  } finally {
    await redis?.stop()
    rmSync(folder, { recursive: true })
  }
})

test.each([
  ['an unknown option', ['--bogus']],
  ['too few seconds', ['--seconds', '1']],
  ['a superfluous argument', ['more']],
])('%s gets one line and exit code 2', async (_, args) => {
  await using program = example(...args)
  const { exitCode, printed } = await program.ended
  expect(printed).toMatch(/^cron: .+\n$/)
  expect(exitCode).toBe(2)
})

test('what is wrong is told', () => {
  const tick = Date.UTC(2026, 0, 1)
  const begin = (instance: string, fence: number): Line => ({ instance, event: 'begin', tick, fence, atMs: tick })
  const killed: Line = { instance: 'one', event: 'killed', tick: 0, fence: 0, atMs: tick + 1 }
  const story = (lines: readonly Line[]) => ({ lines, ticks: [tick], fromMs: tick, untilMs: tick + 1_000 })
  expect(problemsOf(story([begin('one', 1)]))).toEqual([])
  expect(problemsOf(story([begin('one', 1), killed, begin('two', 2)]))).toEqual([])
  expect(problemsOf(story([]))).toEqual(['the tick of 00:00:00 was not run'])
  expect(problemsOf(story([begin('one', 1), begin('two', 2)]))).toEqual(['the tick of 00:00:00 was run 2 times'])
  expect(page(story([begin('one', 1), killed]), 'all')).toContain('<rect class="cut"')
})
