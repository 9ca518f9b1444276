import { type Backend, connect, type Lease, LockTimeoutError, SoloistError, type SoloistErrorCode } from 'soloist'
import { checkHistory, conformance, type OpenStore } from 'soloist/conformance'
import { type RedisBackendOptions, redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'

const options: RedisBackendOptions = { prefix: 'app:' }
const backends: Backend[] = [redisBackend('redis://127.0.0.1', options), sqliteBackend('app.db')]

export async function report(): Promise<SoloistErrorCode | null> {
  await using solo = connect(backends[0])
  try {
    await using lease: Lease = await solo.lock('report', { ttlMs: 30_000, waitMs: 5_000 })
    const fence: number = await solo.withLock(['a', 'b'], ({ signal }) => (signal.aborted ? 0 : lease.fence))
    return fence > 0 ? null : 'LEASE_LOST'
  } catch (error) {
    if (error instanceof LockTimeoutError) return error.holder === null ? null : error.code
    if (error instanceof SoloistError) return error.code
    throw error
  }
}

// @ts-expect-error: a wait has its unit in its name
connect().lock('report', { wait: 5 })

export const suite: [typeof conformance, typeof checkHistory, OpenStore?] = [conformance, checkHistory]
