import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'soloist'
import { crons, type OncePerTickOptions } from 'soloist/cron'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Crowd } from '../support/crowd.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'

const SCRIPT = fileURLToPath(new URL('children/at-once.js', import.meta.url))
const PROCESSES = 4
const CALLS = 1_000

let redis: RedisServer
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = mkdtempSync(join(tmpdir(), 'soloist-cron-at-once-'))
})
afterAll(async () => {
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(['redis', 'sqlite'] as const)(
  'a thousand calls for one tick from each of four processes, on %s',
  kind => {
    test.each<[string, OncePerTickOptions]>([
      ['', {}],
      [' with recover', { recover: true }],
    ])('run it once%s, and each is told so', { timeout: 120_000 }, async (_, options) => {
      const url = kind === 'redis' ? redis.url : `sqlite:${join(folder, 'ticks.db')}`
      await using crowd = await Crowd.start(SCRIPT, [url], PROCESSES)
      const tick = Date.now()
      const answers = await crowd.ask<{ runs: number[]; outcomes: string[] }>('come', tick, CALLS, options)

      expect(answers.flatMap(({ runs }) => runs)).toHaveLength(1)
      const outcomes = answers.flatMap(answer => answer.outcomes)
      expect(outcomes).toHaveLength(PROCESSES * CALLS)
      expect(outcomes.filter(outcome => outcome === 'ran null')).toHaveLength(1)
      // With recover a call waits until it knows how the run ended; without, it is told at once.
      const others = outcomes.filter(outcome => outcome !== 'ran null')
      const told = options.recover === true ? ['elsewhere ok'] : ['elsewhere null', 'elsewhere ok']
      expect(others.filter(outcome => !told.includes(outcome))).toEqual([])

      // Later the store tells of the one run, and all others still have it.
      await using solo = connect(url)
      const [state] = await crons(solo, 'report')
      expect(state?.last).toMatchObject({ scheduledAt: new Date(tick), result: 'ok' })
      const again = await crowd.ask<{ runs: number[]; outcomes: string[] }>('come', tick, 10, options)
      expect(again.flatMap(({ runs }) => runs)).toEqual([])
      expect([...new Set(again.flatMap(answer => answer.outcomes))]).toEqual(['elsewhere ok'])
    })
  },
)
