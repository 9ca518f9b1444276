import { type Lease, type Soloist, SoloistError } from '../../index.js'
import { EXIT, signalExitCode } from '../exit-codes.js'
import { explain, systemCode, withCause } from '../failure.js'
import { formatDuration } from '../output/duration.js'
import type { Notices } from '../output/notices.js'
import { quoted } from '../output/text.js'
import { Child, type Ending } from './child.js'
import type { Launch } from './launch.js'
import { type SignalInbox, sentByTerminal } from './signals.js'

export interface GuardOptions {
  /** How long CMD may take to end after SIGTERM once the lease is lost. */
  readonly graceMs: number
  readonly signals: SignalInbox
  readonly notices: Notices
}

/**
 * Runs CMD under a lease, and gives the lease back: signals go to CMD, and a lost lease ends it.
 *
 * @returns the exit code of the whole: CMD's own, or what became of it instead
 */
export async function runGuarded(solo: Soloist, lease: Lease, launch: Launch, options: GuardOptions): Promise<number> {
  const { notices, signals } = options
  let child: Child
  try {
    child = new Child(launch, environmentFor(lease))
    signals.handler = signal => {
      if (!sentByTerminal(signal)) child.signal(signal)
    }
    await child.started
  } catch (error) {
    return await refuse(solo, lease, launch, error as Error, notices)
  }
  child.onFault(error => notices.problem('fault', `cannot send CMD a signal: ${error.message}`, { pid: child.pid }))
  const startedAt = performance.now()
  const { ending, lost } = await endOf(solo, child, lease, options)
  // CMD is gone, and what is left takes a moment only.
  signals.handler = () => {}
  if (lost) return EXIT.lost
  await giveBack(lease, notices, () => lease.release())
  notices.record('finished', { ...subject(lease), ...ending, ranMs: Math.round(performance.now() - startedAt) })
  return ending.signal === null ? ending.exitCode : signalExitCode(ending.signal)
}

/** Waits for CMD to end, and sees to it that it does once the lease is lost. */
async function endOf(
  solo: Soloist,
  child: Child,
  lease: Lease,
  { graceMs, notices }: GuardOptions,
): Promise<{ readonly ending: Ending; readonly lost: boolean }> {
  let fault: unknown = null
  let killing: NodeJS.Timeout | undefined
  solo.on('fault', event => {
    fault = event.error
  })
  const why = (reason: unknown) => {
    const last = fault instanceof Error ? ` (${withCause(fault)})` : ''
    return `lost ${quoted(lease.name)}: ${explain(reason).message}${last}`
  }
  const onLost = () => {
    const then = `sent SIGTERM to CMD (process ${child.pid}), SIGKILL follows in ${formatDuration(graceMs)}`
    notices.problem('lost', `${why(lease.signal.reason)}; ${then}`, { ...subject(lease), pid: child.pid })
    child.signal('SIGTERM')
    killing = setTimeout(() => child.signal('SIGKILL'), graceMs)
  }
  solo.on('retaken', ({ fence, fenceBefore }) => {
    const then = `taken again, with fence ${fence}; CMD goes on with ${fenceBefore} in SOLOIST_FENCE`
    notices.problem('retaken', `the lease on ${quoted(lease.name)} ran out and was ${then}`, {
      ...subject(lease),
      fenceBefore,
      pid: child.pid,
    })
  })
  if (lease.signal.aborted) onLost()
  else lease.signal.addEventListener('abort', onLost)
  const ending = await child.ended
  lease.signal.removeEventListener('abort', onLost)
  clearTimeout(killing)
  if (lease.signal.aborted) return { ending, lost: true }
  const reason = await lossOf(lease)
  if (reason === null) return { ending, lost: false }
  notices.problem('lost', `${why(reason)}; CMD ended only after that`, { ...subject(lease), pid: child.pid })
  return { ending, lost: true }
}

/**
 * Why the lease is over although no renewal has told so yet, or `null`: it may have been taken away a moment ago, or all
 * were paused past its end, with CMD finishing before any timer of this process fired.
 */
async function lossOf(lease: Lease): Promise<unknown> {
  try {
    await lease.renew()
    return null
  } catch (error) {
    // Without an answer it stands, as far as anybody knows.
    return error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE' ? null : error
  }
}

/** CMD could not be started: the lock is free again at once, also where it was to be kept for a while. */
async function refuse(solo: Soloist, lease: Lease, launch: Launch, error: Error, notices: Notices): Promise<number> {
  await abandon(solo, lease, notices)
  const code = systemCode(error)
  const missing = code === 'ENOENT'
  const why = missing ? 'it was not found' : code === 'EACCES' ? 'it may not be executed' : error.message
  notices.problem('failed', `cannot run ${quoted(launch.name)}: ${why}`, { ...subject(lease), code })
  return missing ? EXIT.notFound : EXIT.notExecutable
}

/** Gives back a lease that was not used, without the time it was to be held at least. */
export async function abandon(solo: Soloist, lease: Lease, notices: Notices): Promise<void> {
  await giveBack(lease, notices, () => solo.unlock(lease.name, { owner: lease.owner }))
}

async function giveBack(lease: Lease, notices: Notices, how: () => Promise<unknown>): Promise<void> {
  try {
    await how()
  } catch (error) {
    const { message, code } = explain(error)
    const until = `${quoted(lease.name)} stays locked until it expires`
    notices.problem('fault', `${until}: ${message}`, { ...subject(lease), code })
  }
}

function environmentFor(lease: Lease): NodeJS.ProcessEnv {
  return {
    SOLOIST_LOCK: lease.name,
    SOLOIST_OWNER: lease.owner,
    SOLOIST_FENCE: String(lease.fence),
  }
}

function subject(lease: Lease): { name: string; owner: string; fence: number } {
  return { name: lease.name, owner: lease.owner, fence: lease.fence }
}
