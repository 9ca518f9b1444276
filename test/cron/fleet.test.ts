// Fleets of three processes. SOLOIST_CRON_SECONDS says for how long they run, 15 when it is not set.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { runFleet, type Story } from './fleet.js'

const SECONDS = Number(process.env.SOLOIST_CRON_SECONDS ?? 15)
const TTL_MS = 2_000
const timeout = (SECONDS + 90) * 1_000

let folder: string
const servers: RedisServer[] = []
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'soloist-cron-store-'))
})
afterAll(async () => {
  await Promise.all(servers.map(server => server.stop()))
  rmSync(folder, { recursive: true, force: true })
})

/** A store of one test alone. */
async function urlOf(kind: 'redis' | 'sqlite', name: string): Promise<string> {
  if (kind === 'sqlite') return `sqlite:${join(folder, `${name}.db`)}`
  const server = await startRedis()
  servers.push(server)
  return server.url
}

describe.concurrent.each(['redis', 'sqlite'] as const)('on %s', kind => {
  test('every tick is run once: clocks 850 ms apart, one killed, one stopped', { timeout }, async () => {
    const url = await urlOf(kind, 'plain')
    const job = { overlap: 'allow' }
    const story = await runFleet({ url, scheduler: 'soloist', seconds: SECONDS, stoppedMs: 3_000, job })
    expectDrama(story)
    expect(notRunOnce(story)).toEqual([])
    tell(kind, 'cron', story)
  })

  test('with recover every tick is run, and again only where the first lost its lease', { timeout }, async () => {
    const url = await urlOf(kind, 'recover')
    const job = { overlap: 'allow', recover: true, ttlMs: TTL_MS }
    const story = await runFleet({ url, scheduler: 'soloist', seconds: SECONDS, stoppedMs: 2 * TTL_MS, job })
    expectDrama(story)
    const dead = new Set(story.lines.filter(({ event }) => event === 'SIGKILL').map(({ pid }) => pid))
    for (const [tick, runs] of story.runs) {
      expect(runs.length, new Date(tick).toISOString()).toBeGreaterThanOrEqual(1)
      const inOrder = [...runs].sort((a, b) => a.fence - b.fence)
      for (const run of inOrder.slice(0, -1)) {
        const lost = story.lines.some(({ event, status, fence, pid }) => {
          return event === 'outcome' && status === 'lost' && fence === run.fence && pid === run.pid
        })
        expect(lost || dead.has(run.pid), `run ${run.fence} of ${new Date(tick).toISOString()}`).toBe(true)
      }
      expect(new Set(runs.map(({ fence }) => fence)).size).toBe(runs.length)
    }
    tell(kind, 'cron with recover', story)
  })

  test("node-cron's scheduler with our coordinator runs every tick once", { timeout }, async () => {
    const url = await urlOf(kind, 'node-cron')
    const story = await runFleet({ url, scheduler: 'node-cron', seconds: SECONDS, stoppedMs: 3_000 })
    expectDrama(story)
    // On a machine that is too busy node-cron comes too late to a tick, and says so. Then it is nobody's to run.
    const missed = missedByAll(story)
    expect(missed.size).toBeLessThan(story.ticks.length / 2)
    expect(notRunOnce({ ...story, runs: new Map([...story.runs].filter(([tick]) => !missed.has(tick))) })).toEqual([])
    tell(kind, `node-cron, our coordinator (${missed.size} ticks missed by node-cron)`, story)
  })
})

// Should this fail one day, node-cron's own coordinator keeps its key by then, and docs/cron.md has to say so.
test.concurrent("node-cron's own way to coordinate runs ticks on several instances", { timeout }, async () => {
  const story = await runFleet({ url: await urlOf('redis', ''), scheduler: 'own', seconds: SECONDS, stoppedMs: 3_000 })
  const twice = [...story.runs.values()].filter(runs => runs.length > 1)
  expect(twice.length).toBeGreaterThan(0)
  tell('redis', 'node-cron, its own coordinator', story)
})

/** One process was killed in the middle of a run, and one was stopped. */
function expectDrama({ lines, ticks }: Story): void {
  expect(new Set(lines.map(({ pid }) => pid)).size).toBe(3)
  expect(lines.filter(({ event }) => event === 'SIGKILL')).toHaveLength(1)
  expect(lines.filter(({ event }) => event === 'SIGSTOP')).toHaveLength(1)
  expect(ticks.length).toBeGreaterThan(SECONDS / 4)
}

/** Ticks to which no instance came, and which the one that was neither killed nor stopped says that it missed. */
function missedByAll({ lines, ticks }: Story): ReadonlySet<number> {
  const came = new Set(lines.filter(({ event }) => event === 'came' || event === 'begin').map(({ tick }) => tick))
  const upset = new Set(lines.filter(({ event }) => event.startsWith('SIG')).map(({ pid }) => pid))
  const missed = new Set(
    lines.filter(({ event, pid }) => event === 'missed' && !upset.has(pid)).map(({ tick }) => tick),
  )
  return new Set(ticks.filter(tick => missed.has(tick) && !came.has(tick)))
}

function notRunOnce({ runs }: Story): readonly string[] {
  const wrong = [...runs].filter(([, all]) => all.length !== 1)
  return wrong.map(([tick, all]) => `${new Date(tick).toISOString()}: ${all.length} runs`)
}

function tell(kind: string, what: string, { ticks, runs }: Story): void {
  const counts = [...runs.values()].map(({ length }) => length)
  const of = (times: number) => counts.filter(count => count === times).length
  const more = counts.filter(count => count > 1).length
  console.log(`${kind}, ${what}: ${ticks.length} ticks, ${of(1)} run once, ${more} more than once, ${of(0)} not at all`)
}
