// What docs/adapters/pg-boss.md and docs/adapters/graphile-worker.md say of a handler that lost its lock, and do not show.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Logger, run, type Task } from 'graphile-worker'
import { type Job, PgBoss } from 'pg-boss'
import { connect, type GuardedLease } from 'soloist'
import { type PostgresTransaction, postgresBackend } from 'soloist/postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newSchema, openPool, url } from './support.js'

const schema = newSchema()
const pool = openPool({ max: 20 })
const solo = connect(postgresBackend(pool, { schema }))
afterAll(() => solo.close())
beforeAll(async () => {
  await pool.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`)
  await pool.query(`CREATE TABLE ${schema}.done (account text NOT NULL, fence bigint NOT NULL)`)
})

const fencesOf = async (account: string) => {
  const { rows } = await pool.query(`SELECT fence::float8 FROM ${schema}.done WHERE account = $1 ORDER BY fence`, [
    account,
  ])
  return rows.map(({ fence }) => fence as number)
}

/** The first attempt loses its lock in the middle of its transaction, as one that was paused for too long. */
function overtaken(account: string) {
  const fences: number[] = []
  return {
    fences,
    async between(lease: { readonly fence: number }) {
      fences.push(lease.fence)
      if (fences.length > 1) return
      await solo.unlock(account, { force: true })
      await (await solo.lock(account)).release()
    },
  }
}

async function inTransaction(
  lease: GuardedLease<PostgresTransaction>,
  account: string,
  between: (lease: { readonly fence: number }) => Promise<void>,
): Promise<void> {
  const tx = await pool.connect()
  try {
    await tx.query('BEGIN')
    await tx.query(`INSERT INTO ${schema}.done VALUES ($1, $2)`, [account, lease.fence])
    await between(lease)
    await lease.guard(tx)
    await tx.query('COMMIT')
  } catch (error) {
    await tx.query('ROLLBACK')
    throw error
  } finally {
    tx.release()
  }
}

test('pg-boss: the attempt that lost its lock does not commit, and the next one does', async () => {
  const boss = new PgBoss({ connectionString: url, schema: newSchema(), supervise: false, schedule: false })
  await boss.start()
  await boss.createQueue('sync', { retryLimit: 3, retryDelay: 0 })
  const { fences, between } = overtaken('boss')
  await boss.work('sync', { pollingIntervalSeconds: 0.5 }, async () => {
    await solo.withLock('boss', lease => inTransaction(lease, 'boss', between))
  })
  const id = await boss.send('sync', {})
  await expect.poll(async () => (await boss.getJobById('sync', String(id)))?.state).toBe('completed')
  assert.equal(fences.length, 2)
  assert.deepEqual(await fencesOf('boss'), fences.slice(1))
  await boss.stop()
})

test("pg-boss: a transaction of its own can be guarded, and ends with the job's end", async () => {
  const boss = new PgBoss({ connectionString: url, schema: newSchema(), supervise: false, schedule: false })
  await boss.start()
  await boss.createQueue('book', { retryLimit: 3, retryDelay: 0 })
  const { fences, between } = overtaken('own')
  await boss.work('book', { transactional: true, pollingIntervalSeconds: 0.5 }, async (_jobs: Job[], db) => {
    await using lease = await solo.lock('own')
    await db.executeSql(`INSERT INTO ${schema}.done VALUES ($1, $2)`, ['own', lease.fence])
    await between(lease)
    await lease.guard({ query: (text, values) => db.executeSql(text, values) })
  })
  const id = await boss.send('book', {})
  await expect.poll(async () => (await boss.getJobById('book', String(id)))?.state).toBe('completed')
  assert.equal(fences.length, 2)
  assert.deepEqual(await fencesOf('own'), fences.slice(1))
  await boss.stop()
})

test('pg-boss: a lock that goes with a job counts until the job has ended, also by a second attempt', async () => {
  const boss = new PgBoss({ connectionString: url, schema: newSchema(), supervise: false, schedule: false })
  await boss.start()
  await boss.createQueue('refresh', { retryLimit: 3, retryDelay: 0 })
  const fences: number[] = []
  await boss.work('refresh', { pollingIntervalSeconds: 0.5 }, async ([job]: Job<{ token: string }>[]) => {
    await using lease = await solo.attach(String(job?.data.token)).catch(error => {
      if (error.code === 'LEASE_LOST') return solo.lock('carried')
      throw error
    })
    fences.push(lease.fence)
    assert.equal(await solo.tryLock('carried'), null)
    if (fences.length === 1) throw new Error('the first attempt fails')
  })
  const sent = await solo.tryLock('carried', { ttlMs: 3_600_000 })
  const fence = sent?.fence
  const id = await boss.send('refresh', { token: await sent?.detach() })
  assert.equal(await solo.tryLock('carried'), null, 'as long as the job waits')
  await expect.poll(async () => (await boss.getJobById('refresh', String(id)))?.state).toBe('completed')
  assert.equal(fences[0], fence, 'the first attempt has what was taken when the job was sent')
  assert.ok(fences.length === 2 && Number(fences[1]) > Number(fence), 'and the second one took it anew')
  assert.equal(await solo.inspect('carried'), null)
  await boss.stop()
})

test('graphile-worker: the attempt that lost its lock does not commit, and the next one does', async () => {
  const { fences, between } = overtaken('graphile')
  const sync: Task = async (_payload, { withPgClient }) => {
    await solo.withLock('graphile', lease =>
      withPgClient(async tx => {
        await tx.query('BEGIN')
        try {
          await tx.query(`INSERT INTO ${schema}.done VALUES ($1, $2)`, ['graphile', lease.fence])
          await between(lease)
          await lease.guard(tx)
          await tx.query('COMMIT')
        } catch (error) {
          await tx.query('ROLLBACK')
          throw error
        }
      }),
    )
  }
  const runner = await run({
    connectionString: url,
    schema: newSchema(),
    noHandleSignals: true,
    pollInterval: 200,
    logger: new Logger(() => () => {}),
    taskList: { sync },
  })
  const success = once(runner.events, 'job:success')
  await runner.addJob('sync', {})
  await success
  assert.equal(fences.length, 2)
  assert.deepEqual(await fencesOf('graphile'), fences.slice(1))
  await runner.stop()
})
