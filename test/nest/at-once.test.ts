import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'soloist'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Crowd } from '../support/crowd.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'

const SCRIPT = fileURLToPath(new URL('children/at-once.js', import.meta.url))
const PROCESSES = 4
const CALLS = 250
const AFTER = 25

let redis: RedisServer
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = mkdtempSync(join(tmpdir(), 'soloist-nest-at-once-'))
})
afterAll(async () => {
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(['redis', 'sqlite'] as const)('a thousand calls of a method from four applications, on %s', kind => {
  let url: string
  let file: string
  let crowd: Crowd
  beforeAll(async () => {
    file = join(folder, `count-${kind}`)
    writeFileSync(file, '0')
    url = kind === 'redis' ? redis.url : `sqlite:${join(folder, 'nest.db')}`
    crowd = await Crowd.start(SCRIPT, [url, file], PROCESSES)
  })
  afterAll(() => crowd[Symbol.asyncDispose]())

  test('with @Locked never run at the same time, also after one application was killed', {
    timeout: 120_000,
  }, async () => {
    await crowd.ask('add', CALLS)
    expect(readFileSync(file, 'utf8')).toBe(String(PROCESSES * CALLS))

    {
      await using victim = await Crowd.start(SCRIPT, [url, file], 1)
      await victim.ask('addForEver')
      await expect.poll(() => Number(readFileSync(file, 'utf8'))).toBeGreaterThan(PROCESSES * CALLS)
    }
    // It may have been killed between two steps of its own. Nobody adds now: its lock is given up first.
    await using solo = connect(url)
    const count = await solo.withLock('counter', () => {
      const text = readFileSync(file, 'utf8')
      if (text === '') writeFileSync(file, '0')
      return Number(text)
    })
    await crowd.ask('add', AFTER)
    expect(Number(readFileSync(file, 'utf8'))).toBe(count + PROCESSES * AFTER)
    expect(await solo.inspect('counter')).toBeNull()
  })

  test('with @Singleton are one run, whose result all are told', { timeout: 120_000 }, async () => {
    const answers = await crowd.ask<{ runs: string[]; ids: string[]; results: number[] }>('report', CALLS)
    expect(answers.flatMap(({ results }) => results)).toEqual(Array(PROCESSES * CALLS).fill(7))
    const runs = answers.flatMap(answer => answer.runs)
    expect(new Set(runs).size).toBe(runs.length)
    // A process that is late may come when the run of the others has ended. Each trigger tells the run that covers it.
    expect(new Set(answers.flatMap(({ ids }) => ids))).toEqual(new Set(runs))
  })
})
