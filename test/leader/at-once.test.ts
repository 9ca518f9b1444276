import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'soloist'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Crowd } from '../support/crowd.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'

const SCRIPT = fileURLToPath(new URL('children/at-once.js', import.meta.url))
const PROCESSES = 4
const CANDIDATES = 1_000
/** So many terms each process is to see of those that pass from candidate to candidate. */
const TERMS = 25
/** So many candidates are all in their places at one moment only when each process has had its turn in time. */
const PATIENCE = { timeout: 150_000 }

interface Term {
  readonly fence: number
  readonly fromMs: number
  readonly untilMs: number
}

interface End {
  readonly ends: readonly string[]
  readonly leading: number
  readonly terms: readonly Term[]
}

let redis: RedisServer
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = mkdtempSync(join(tmpdir(), 'soloist-leader-at-once-'))
})
afterAll(async () => {
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(['redis', 'sqlite'] as const)('a thousand candidates in each of four processes, on %s', kind => {
  const urlOf = (name: string) => (kind === 'redis' ? `${redis.url}/${name.length}` : `sqlite:${join(folder, name)}`)

  test('for one name: one leads, resigning passes it on, close() ends all', { timeout: 360_000 }, async () => {
    const url = urlOf('one')
    await using crowd = await Crowd.start(SCRIPT, [url], PROCESSES)
    await using solo = connect(url)
    await crowd.ask('stand', Array(CANDIDATES).fill('main'))
    const waiting = async () => (await solo.inspect('leader:main'))?.waiting
    // On a busy machine some are silent for so long that the store drops them: they go back to their places.
    await expect.poll(waiting, PATIENCE).toBe(PROCESSES * CANDIDATES - 1)
    const leading = await crowd.ask<number[]>('leading')
    expect(leading.flat()).toHaveLength(1)

    await crowd.ask('pass', TERMS)
    const ended = await crowd.ask<End>('close')
    expect(ended.map(end => end.leading)).toEqual(Array(PROCESSES).fill(0))
    expect([...new Set(ended.flatMap(({ ends }) => ends))]).toEqual(['CLOSED'])
    const terms = ended.flatMap(end => end.terms).sort((a, b) => a.fence - b.fence)
    expect(terms.length).toBeGreaterThanOrEqual(PROCESSES * TERMS)
    expect(new Set(terms.map(({ fence }) => fence)).size).toBe(terms.length)
    expect(terms.filter(({ fromMs }, i) => fromMs < (terms[i - 1]?.untilMs ?? 0))).toEqual([])
    expect(await solo.inspect('leader:main')).toBeNull()
    expect(await solo.inspect('leader-stop:main')).toBeNull()
  })

  test('for a thousand names: each has one leader', { timeout: 360_000 }, async () => {
    const url = urlOf('thousand')
    await using crowd = await Crowd.start(SCRIPT, [url], PROCESSES)
    await using solo = connect(url)
    const names = Array.from({ length: CANDIDATES }, (_, i) => `name-${i}`)
    await crowd.ask('stand', names)
    const last = async () => (await solo.inspect(`leader:${names.at(-1)}`))?.waiting
    await expect.poll(last, PATIENCE).toBe(PROCESSES - 1)
    const everyLeader = async () => (await crowd.ask<number[]>('leading')).flat().sort((a, b) => a - b)
    await expect.poll(everyLeader, PATIENCE).toEqual(names.map((_, i) => i))
  })
})

describe('a thousand candidates of a process that is stopped until its client counts as silent, on sqlite', () => {
  test('go back to their places when it goes on', { timeout: 360_000 }, async () => {
    const url = `sqlite:${join(folder, 'stopped')}`
    await using crowd = await Crowd.start(SCRIPT, [url], PROCESSES)
    await using solo = connect(url)
    await crowd.ask('stand', Array(CANDIDATES).fill('main'))
    const waiting = async () => (await solo.inspect('leader:main'))?.waiting
    await expect.poll(waiting, PATIENCE).toBe(PROCESSES * CANDIDATES - 1)
    const follows = (await crowd.ask<number[]>('leading')).findIndex(leading => leading.length === 0)
    crowd.signal(follows, 'SIGSTOP')
    await expect.poll(waiting, PATIENCE).toBe((PROCESSES - 1) * CANDIDATES - 1)
    crowd.signal(follows, 'SIGCONT')
    await expect.poll(waiting, PATIENCE).toBe(PROCESSES * CANDIDATES - 1)
  })
})
