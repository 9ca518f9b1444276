import assert from 'node:assert/strict'
import pg from 'pg'
import type { GuardingBackend } from 'soloist'
import type { PostgresTransaction } from 'soloist/postgres'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres-server.js'
import { Client, claim, fenceOf } from './support.js'

let primary: PostgresServer
let standby: PostgresServer
beforeEach(async () => {
  primary = await startPostgres({ settings: { wal_level: 'replica', max_wal_senders: '4' } })
  const admin = new Client(primary.url)
  await admin.acquire(claim('set up', 'mine'))
  standby = await startPostgres({ standbyOf: primary })
})
afterEach(async () => {
  await standby.stop()
  await primary.stop()
})

test('a synchronous standby that is promoted has every grant that was answered', async () => {
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
  await primary.query('SELECT pg_reload_conf()')
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

test('a standby that lacks the last grants grants them again, with higher fences, and lets no earlier holder commit', async () => {
  // It hears of nothing from now on, as one that is behind.
  await standby.halt('fast')
  const mine = claim('held twice', 'before the failover', { ttlMs: 600_000 })
  const client = new Client(primary.url)
  const fence = fenceOf(await client.acquire(mine))
  await primary.halt('immediate')
  await standby.start()
  await standby.query('SELECT pg_promote()')
  const after = new Client(standby.url)
  assert.equal(await after.backend.inspect(mine.name), null, 'the grant is lost')
  assert.equal((await after.renew(mine)).status, 'lost', 'and its holder is told so when it renews')

  const next = claim(mine.name, 'after the failover')
  const higher = fenceOf(await after.acquire(next))
  assert.ok(higher > fence)
  const tx = new pg.Client(standby.url)
  await tx.connect()
  const backend = after.backend as GuardingBackend<PostgresTransaction>
  for (const [holder, itsFence, holds] of [
    [mine, fence, false],
    [next, higher, true],
  ] as const) {
    await tx.query('BEGIN')
    assert.equal(await backend.guard(holder, itsFence, tx), holds)
    await tx.query('COMMIT')
  }
  await tx.end()
})
