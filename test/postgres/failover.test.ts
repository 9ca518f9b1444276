import assert from 'node:assert/strict'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres-server.js'
import { Client, claim } from './support.js'

let primary: PostgresServer
let standby: PostgresServer
beforeAll(async () => {
  primary = await startPostgres({ settings: { wal_level: 'replica', max_wal_senders: '4' } })
  standby = await startPostgres({ standbyOf: primary })
  const admin = new Client(primary.url)
  await admin.acquire(claim('set up', 'mine'))
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
  await primary.query('SELECT pg_reload_conf()')
})
afterAll(async () => {
  await standby.stop()
  await primary.stop()
})

test('a synchronous standby that is promoted has every grant that was answered', async () => {
  await expect
    .poll(async () => (await primary.query('SELECT sync_state FROM pg_stat_replication')).map(row => row.sync_state))
    .toEqual(['sync'])
  const granted = new Map<string, number>()
  const client = new Client(primary.url)
  let stopped = false
  const take = async (lane: number) => {
    for (let i = 0; !stopped; i += 1) {
      const mine = claim(`failover ${lane} ${i}`, 'mine', { ttlMs: 600_000 })
      const answer = await client.acquire(mine).catch(() => null)
      if (answer?.status === 'granted') granted.set(mine.name, answer.fence)
    }
  }
  const lanes = [take(0), take(1)]
  await expect.poll(() => granted.size).toBeGreaterThan(100)
  await primary.halt('immediate')
  stopped = true
  await Promise.all(lanes)
  await standby.query('SELECT pg_promote()')
  const after = new Client(standby.url)
  for (const [name, fence] of granted) {
    const state = await after.backend.inspect(name)
    assert.equal(state?.holders[0]?.fence, fence, `${name} was granted, and is held after the failover`)
  }
  const [answer] = await after.run({ kind: 'acquire', claim: claim('after', 'mine'), ticket: null, replaces: null })
  assert.ok(answer?.status === 'granted' && answer.fence > Math.max(...granted.values()), 'fences go on rising')
})
