import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { connect, type GuardingBackend } from 'soloist'
import type { PostgresTransaction } from 'soloist/postgres'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres-server.js'
import { Client, claim, fenceOf } from './support.js'

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

test('an immediate stop of the server loses no grant that was answered, and no renewal', async () => {
  const granted = new Map<string, number>()
  const client = new Client(server.url)
  fenceOf(await client.acquire(claim('renewed', 'mine', { ttlMs: 60_000 })))
  assert.equal((await client.renew(claim('renewed', 'mine', { ttlMs: 600_000 }))).status, 'held')
  let stopped = false
  const take = async (lane: number) => {
    for (let i = 0; !stopped; i += 1) {
      const mine = claim(`crash ${lane} ${i}`, 'mine', { ttlMs: 600_000 })
      const answer = await client.acquire(mine).catch(() => null)
      if (answer?.status === 'granted') granted.set(mine.name, answer.fence)
    }
  }
  const lanes = [take(0), take(1)]
  await expect.poll(() => granted.size).toBeGreaterThan(100)
  await server.halt('immediate')
  stopped = true
  await Promise.all(lanes)
  await server.start()
  const after = new Client(server.url)
  for (const [name, fence] of granted) {
    const state = await after.backend.inspect(name)
    assert.equal(state?.holders[0]?.fence, fence, `${name} was granted, and is held after the crash`)
  }
  const renewed = await after.backend.inspect('renewed')
  assert.equal(renewed?.holders[0]?.owner, 'mine')
  assert.ok(Number(renewed.holders[0].expiresAtMs) - renewed.atMs > 300_000, 'the renewal was not lost')
  const next = fenceOf(await after.acquire(claim('after', 'mine')))
  assert.ok(next > Math.max(...granted.values()), 'fences go on rising')
})

test('without synchronous_commit a crash takes back what was granted last, and what is granted then has a higher fence', async () => {
  // Only the WAL writer writes what is committed then, and it is stopped.
  const settings = { synchronous_commit: 'off', bgwriter_lru_maxpages: '0', autovacuum: 'off' }
  const loose = await startPostgres({ durable: true, settings })
  onTestFinished(() => loose.stop())
  const before = new Client(loose.url)
  const kept = claim('kept', 'mine')
  const keptFence = fenceOf(await before.acquire(kept))
  await loose.query('CHECKPOINT')
  const [writer] = await loose.query(`SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'`)
  process.kill(Number(writer?.pid), 'SIGSTOP')
  const fences = new Map<string, number>()
  fences.set('new', fenceOf(await before.acquire(claim('new', 'first'))))
  for (let i = 0; i < 20; i += 1) {
    fences.set('often', fenceOf(await before.acquire(claim('often', `owner ${i}`))))
    if (i < 19) await before.release(claim('often', `owner ${i}`))
  }
  process.kill(Number(writer?.pid), 'SIGKILL')
  await loose.halt('immediate')
  await loose.start()
  const after = new Client(loose.url)
  assert.equal((await after.backend.inspect('kept'))?.holders[0]?.fence, keptFence)
  for (const [name, fence] of fences) {
    assert.equal(await after.backend.inspect(name), null, `the grant of ${name} was lost`)
    assert.ok(fenceOf(await after.acquire(claim(name, 'second'))) > fence, `the fence of ${name} rises`)
  }
  assert.equal((await before.renew(claim('new', 'first'))).status, 'lost', 'who held it learns so')
  const tx = new pg.Client(loose.url)
  await tx.connect()
  await tx.query('BEGIN')
  const { backend } = before as { readonly backend: GuardingBackend<PostgresTransaction> }
  assert.equal(
    await backend.guard(claim('new', 'first'), fences.get('new') as number, tx),
    false,
    'and commits nothing',
  )
  await tx.end()
})

test('connections that are killed all the time cost repeats, and neither a lock nor a wake-up', async () => {
  const KILLS = 8
  const ROUNDS = 20
  const ttlMs = 1_500
  const killer = new pg.Client(server.url)
  killer.on('error', () => {})
  await killer.connect()
  const clients = [connect(server.url as `postgres://${string}`), connect(server.url as `postgres://${string}`)]
  for (const solo of clients) solo.on('fault', () => {})
  // A grant whose answer was lost on its way is held until its ttl has passed. Any kill may do that; here one did for certain.
  fenceOf(await new Client(server.url).acquire(claim('killed', 'whose answer was lost', { ttlMs })))
  let holds = 0
  let rounds = 0
  let kills = 0
  const kill = async () => {
    // Long enough for a new connection to do something, also on a machine that is busy.
    for (; kills < KILLS || rounds < ROUNDS; await sleep(300)) {
      await killer.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soloist'`)
      kills += 1
    }
  }
  const work = async (lane: number) => {
    const solo = clients[lane % 2] as (typeof clients)[0]
    // Rounds alone say that it goes on: while a lost grant is held, there is none.
    while (kills < KILLS || rounds < ROUNDS) {
      await solo
        .withLock('killed', { ttlMs }, async () => {
          assert.equal(holds, 0, 'one at a time')
          holds += 1
          await sleep(5)
          holds -= 1
          rounds += 1
        })
        // Where no answer comes several times, that is told.
        .catch(error => assert.ok(['BACKEND_UNAVAILABLE', 'LEASE_LOST'].includes(error.code), String(error)))
    }
  }
  const worked = await Promise.allSettled([kill(), ...Array.from({ length: 6 }, (_, lane) => work(lane))])
  for (const result of worked) if (result.status === 'rejected') throw result.reason
  await Promise.all(clients.map(solo => solo.close()))
  await killer.end()
})

test('a waiting claim is told of its grant after the server was restarted', async () => {
  await using holder = connect(server.url as `postgres://${string}`)
  await using waiter = connect(server.url as `postgres://${string}`)
  for (const solo of [holder, waiter]) solo.on('fault', () => {})
  const lease = await holder.lock('restarted', { ttlMs: 60_000 })
  const waiting = waiter.lock('restarted')
  await expect.poll(async () => (await holder.inspect('restarted'))?.waiting).toBe(1)
  await server.halt('fast')
  await server.start()
  await lease.release()
  assert.ok((await waiting).fence > lease.fence)
})

test('a statement that runs out of time did nothing, and works when it is sent again', async () => {
  const pool = new pg.Pool({ connectionString: server.url, max: 1 })
  const blocker = new pg.Client(server.url)
  blocker.on('error', () => {})
  await blocker.connect()
  const client = new Client(pool)
  fenceOf(await client.acquire(claim('set up', 'mine')))
  await blocker.query('BEGIN')
  await blocker.query("SELECT pg_advisory_xact_lock(hashtextextended('soloist:slow', 7001))")
  await pool.query('SET statement_timeout = 200')
  await assert.rejects(client.acquire(claim('slow', 'mine')), { code: '57014' })
  await pool.query('SET statement_timeout = 0')
  await blocker.query('COMMIT')
  assert.equal(await client.backend.inspect('slow'), null)
  fenceOf(await client.acquire(claim('slow', 'mine')))
  await blocker.end()
  await client.backend.close()
  await pool.end()
})

test('a snapshot that somebody forgot slows the queue down, and stops nothing', async () => {
  const snapshot = new pg.Client(server.url)
  snapshot.on('error', () => {})
  await snapshot.connect()
  await snapshot.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await snapshot.query('SELECT 1')
  const client = new Client(server.url)
  let last = 0
  let holder = claim('hot', 'owner 0')
  fenceOf(await client.acquire(holder))
  for (let i = 1; i <= 500; i += 1) {
    const next = claim('hot', `owner ${i}`)
    await client.acquire(next, 'new')
    await client.release(holder)
    const grant = client.handed.at(-1)
    assert.equal(grant?.owner, next.owner)
    assert.ok(Number(grant?.fence) > last)
    last = Number(grant?.fence)
    holder = next
  }
  await snapshot.query('COMMIT')
  await snapshot.end()
})
