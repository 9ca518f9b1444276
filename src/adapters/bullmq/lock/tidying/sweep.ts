import type { LockState, Soloist } from '../../../../index.js'
import type { Fused } from '../../fused/fused.js'
import type { Lives } from '../lives.js'
import { parseOwner } from '../owner.js'
import { takeOver } from '../take-over.js'

export interface SweepHost {
  readonly solo: Soloist
  readonly lives: Lives
  /** The qualified name of the queue. */
  readonly queue: string
  /** `null` where the steps of locks are calls of their own. */
  readonly fused: Fused | null
  /** What the keys of locks on the queue's Redis start with. */
  readonly prefix: string
  readonly graceMs: number
}

const AT_ONCE = 100

/**
 * Gives up the locks of one queue's jobs that are over.
 *
 * @param prefix only of job names that start with it
 * @param vanished whether a job that is not there will not come any more, however young its lock is
 * @returns how many
 */
export async function sweep(host: SweepHost, prefix: string | undefined, vanished: boolean): Promise<number> {
  const { solo, queue, fused } = host
  let released = 0
  let locks: string[] = []
  const flush = async () => {
    const args = [
      `${queue}:soloist`,
      `${queue}:`,
      Buffer.byteLength(host.prefix),
      vanished ? 1 : 0,
      ...locks.map(name => host.prefix + name),
    ]
    locks = []
    released += Number(await fused?.own('sweep', args))
  }
  for await (const state of solo.jobs.list(prefix)) {
    const { name, holders, waiters } = state
    const owners = [...holders, ...waiters].map(({ owner }) => owner)
    if (!owners.some(owner => parseOwner(owner)?.queue === queue)) continue
    if (fused === null) {
      released += await (vanished ? freeApart(host, name) : sweepApart(host, state))
      continue
    }
    if (locks.push(name) >= AT_ONCE) await flush()
  }
  if (locks.length > 0) await flush()
  return released
}

/** @returns how many of these jobs had the lock, and are over */
async function sweepApart(host: SweepHost, { name, holders, atMs }: LockState): Promise<number> {
  let released = 0
  const { lives } = host
  const locks = host.solo.jobs
  for (const { owner, acquiredAtMs, expiresAtMs } of holders) {
    const parsed = parseOwner(owner)
    if (parsed?.queue !== host.queue) continue
    const life = await lives.of(name, owner, acquiredAtMs === null ? null : atMs - acquiredAtMs)
    const may = life.job !== null || (life.ageMs ?? Number.POSITIVE_INFINITY) >= host.graceMs
    // A period that has not begun, and never will.
    const never = parsed.period && expiresAtMs === null && (life.job === null || life.state === 'finished')
    if ((life.over || never) && may && (await takeOver({ locks, lives }, name, life))) released += 1
  }
  return released
}

/** The same where no job of the queue will come any more: also those that wait, before they are granted, and periods. */
async function freeApart({ solo, lives, queue }: SweepHost, name: string): Promise<number> {
  let released = 0
  // Of many that wait not all are shown.
  for (let found = true; found; ) {
    found = false
    const state = await solo.jobs.inspect(name)
    for (const { owner } of [...(state?.waiters ?? []), ...(state?.holders ?? [])]) {
      const parsed = parseOwner(owner)
      if (parsed?.queue !== queue || (await lives.own(parsed.jobId)) !== undefined) continue
      found = true
      if (await solo.jobs.release(name, owner)) released += 1
    }
  }
  return released
}
