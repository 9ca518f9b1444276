// Many changes of leader. SOLOIST_LEADER_CHANGES says how many, 60 when it is not set.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { type Cause, type Change, Fleet } from './support.js'

const CHANGES = Number(process.env.SOLOIST_LEADER_CHANGES ?? 60)
const CANDIDATES = 4
/** A run that is to show how long it takes has the machine to itself; this one shares it. */
const SHARES = process.env.SOLOIST_LEADER_CHANGES === undefined
const TTL_MS = SHARES ? 2_000 : 450
/** Beyond the ttl, for the messages. */
const TAKE_OVER_MS = SHARES ? 10_000 : 1_000

/** Where nobody is dead or away, so that the next leads after one message. */
const GRACEFUL: readonly Cause[] = ['resign', 'ask']
/** One that takes longer is told apart. */
const SLOW_MS = 50

/** Half of the changes are graceful. */
const CAUSES: Readonly<Record<string, readonly Cause[]>> = {
  redis: ['resign', 'kill', 'ask', 'stop', 'resign', 'block', 'ask', 'partition'],
  sqlite: ['resign', 'kill', 'ask', 'stop', 'resign', 'block', 'ask', 'kill'],
}

let redis: RedisServer
let folder: string
beforeAll(async () => {
  redis = await startRedis()
  folder = mkdtempSync(join(tmpdir(), 'soloist-leader-store-'))
})
afterAll(async () => {
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe.concurrent.each(['redis', 'sqlite'] as const)('on %s', kind => {
  const store = () =>
    kind === 'redis'
      ? { url: redis.url, redisPort: redis.port }
      : { url: `sqlite:${join(folder, 'leader.db')}`, redisPort: null }

  // Each store makes half of the changes.
  const changes = Math.ceil(CHANGES / 2)

  test(`${changes} changes of leader: never two valid terms, rising fences`, { timeout: 600_000 }, async () => {
    await using fleet = new Fleet(store(), TTL_MS)
    for (let i = 0; i < CANDIDATES; i++) await fleet.start()
    const causes = CAUSES[kind] as readonly Cause[]
    for (let i = 0; i < changes; i++) await fleet.end(causes[i % causes.length] as Cause)

    const spans = fleet.spans()
    const overlaps = spans.filter(({ fromMs }, i) => fromMs < (spans[i - 1]?.untilMs ?? 0))
    expect(overlaps).toEqual([])
    const fences = fleet.changes.map(({ fence }) => fence)
    expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
    expect(spans.length).toBeGreaterThanOrEqual(changes * 0.9)
    for (const { cause, tookMs } of fleet.changes) expect(tookMs, cause).toBeLessThan(TTL_MS + TAKE_OVER_MS)
    console.log(`${kind}: ${changes} changes, ${spans.length} terms seen, no overlap\n${summary(fleet.changes)}`)
  })
})

/** How long the changes took, by cause. */
function summary(changes: readonly Change[]): string {
  const byCause = group(changes)
  const lines = [...byCause].map(([cause, all]) => {
    const times = all.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
    const at = (part: number) => (times[Math.floor(part * (times.length - 1))] as number).toFixed(1)
    return `  ${cause.padEnd(9)} ${String(all.length).padStart(3)}: ms until the next leads: median ${at(0.5)}, most ${at(1)}`
  })
  const slow = changes.filter(({ cause, tookMs }) => GRACEFUL.includes(cause) && tookMs > SLOW_MS)
  const where = slow.map(({ cause, tookMs, heardMs }) => {
    return `  ${cause} took ${tookMs.toFixed(1)} ms; the leader before heard of it after ${heardMs?.toFixed(1) ?? '?'} ms`
  })
  return [...lines, ...where].join('\n')
}

function group(changes: readonly Change[]): Map<Cause, Change[]> {
  const groups = new Map<Cause, Change[]>()
  for (const change of changes) groups.set(change.cause, [...(groups.get(change.cause) ?? []), change])
  return groups
}
