import type { Lock, Soloist } from '../../index.js'
import type { HistoryRecord } from '../history/records.js'

/** What is locked, as a history tells it. */
export interface Recorded {
  readonly name: string
  readonly mode: 'exclusive' | 'shared'
  readonly limit: number | null
}

/** Milliseconds on a scale that never steps and that all processes of one machine share. */
export function sharedNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Waits for a lock, runs `work` under it, and records what came of it as `owner`'s. */
export async function recordSection(
  solo: Soloist,
  target: Recorded,
  owner: string,
  record: (entry: HistoryRecord) => void,
  work: () => Promise<void>,
): Promise<void> {
  const { name, mode, limit } = target
  record({ event: 'invoke', name, owner, mode, limit, atMs: sharedNowMs() })
  await using lease = await lockOf(solo, target).lock()
  const untilMs = () => sharedNowMs() + lease.expiresAt.getTime() - Date.now()
  record({ event: 'granted', name, owner, fence: lease.fence, atMs: sharedNowMs(), untilMs: untilMs() })
  await work()
  const nowMs = sharedNowMs()
  const atMs = Math.min(nowMs, untilMs())
  record({ event: lease.signal.aborted || atMs < nowMs ? 'lost' : 'released', name, owner, atMs })
}

function lockOf(solo: Soloist, { name, mode, limit }: Recorded): Lock {
  if (limit !== null) return solo.semaphore(name, limit)
  return mode === 'shared' ? solo.rwLock(name).read : solo.rwLock(name).write
}
