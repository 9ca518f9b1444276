import type { BeginAnswer, BeginStep, Seen, SeenRun, TriggerAnswer, TriggerStep } from '../../backend.js'
import { type Caller, fits, type Lock } from './lock.js'
import type { Locks } from './locks.js'

export function trigger(locks: Locks, step: TriggerStep, caller: Caller): TriggerAnswer {
  const { claim, note, begins, debounce, without } = step
  const { name, owner, ttlMs } = claim
  const { client } = caller
  const lock = locks.open(name)
  const { runs } = lock
  locks.heard(lock, client)
  locks.expire(lock)
  if (without !== null) locks.remove(lock, without)
  locks.advance(lock, caller, owner)
  const seen = seenBy(locks, lock, owner)

  const before = repeated(locks, lock, step, seen)
  if (before !== null) return before

  const { pending } = runs
  const now = locks.nowMs()
  const free = lock.queue.size === 0 && fits(lock, claim)
  if (free && debounce === null) {
    const granted = locks.hold(lock, claim, ttlMs)
    if (begins && pending === null) runs.become(owner, note, null, now)
    else if (begins) runs.beginAlone(owner, note)
    return { ...granted, seen, pending: runs.pending?.owner === owner }
  }
  const action = pending !== null ? step.pending : free ? 'follow' : step.running
  if (action === 'meet') return { status: 'met', seen, noted: null }
  if (action === 'wait') {
    const place = locks.enqueue(lock, { claim, client, begins, note }, 'new')
    locks.nextRun(lock)
    return queued(locks, lock, place, seen)
  }
  if (pending === null) {
    const place = locks.enqueue(lock, { claim, client, begins: true, note }, 'new')
    runs.become(owner, note, debounce, now)
    return queued(locks, lock, place, seen)
  }
  if (action === 'follow') {
    runs.add(owner, note, lock.holders.has(pending.owner) ? null : debounce, now)
    return { status: 'met', seen, noted: pending.owner }
  }
  return displace(locks, lock, step, caller, pending.owner, seen)
}

/** The answer to a trigger that was made before; `null`: it was not. */
function repeated(locks: Locks, lock: Lock, { claim }: TriggerStep, seen: Seen): TriggerAnswer | null {
  const { owner, ttlMs } = claim
  const mine = lock.holders.get(owner)
  if (mine !== undefined) {
    return { ...locks.extended(lock, mine, ttlMs), seen, pending: lock.runs.pending?.owner === owner }
  }
  const ticket = lock.queue.ticketOf(owner)
  if (ticket !== undefined) return queued(locks, lock, ticket, seen)
  const by = locks.displacedBy(lock, owner)
  if (by !== null) return { status: 'displaced', by }
  locks.results.forgetUnbegun({ name: lock.name, owner })
  const noted = lock.runs.notedWith(owner)
  return noted === null ? null : { status: 'met', seen, noted }
}

/** The trigger's claim takes the place of the pending run: its ticket, or the lock that it holds. */
function displace(
  locks: Locks,
  lock: Lock,
  step: TriggerStep,
  caller: Caller,
  displaced: string,
  seen: Seen,
): TriggerAnswer {
  const { claim, note, begins, debounce, keepMs } = step
  const { name, owner, ttlMs } = claim
  const { runs } = lock
  const ticket = lock.queue.ticketOf(displaced)
  runs.displace(owner, note, debounce, locks.nowMs())
  lock.holders.delete(displaced)
  lock.queue.delete(displaced)
  locks.results.end({ name, owner: displaced }, { status: 'displaced', by: owner }, keepMs)
  if (ticket === undefined && debounce === null && fits(lock, claim)) {
    const granted = locks.hold(lock, claim, ttlMs)
    if (!begins) {
      runs.begin(owner)
      locks.nextRun(lock)
    }
    return { ...granted, seen, pending: runs.pending?.owner === owner }
  }
  const place = ticket ?? locks.ticketInFront(lock)
  locks.enqueue(lock, { claim, client: caller.client, begins: true, note }, place)
  // It may fit where the run before did not.
  locks.advance(lock, caller, owner)
  const mine = lock.holders.get(owner)
  return mine === undefined
    ? queued(locks, lock, place, seen)
    : { status: 'granted', fence: mine.fence, seen, pending: true }
}

export function begin(locks: Locks, { name, owner, takesBack }: BeginStep, caller: Caller): BeginAnswer {
  const lock = locks.get(name)
  if (lock !== undefined) {
    locks.catchUp(lock, caller)
    const waiting = takesBack === undefined ? undefined : lock.queue.get(owner)
    if (lock.holders.has(owner) || waiting !== undefined) {
      const notes = takesBack === undefined ? lock.runs.begin(owner) : lock.runs.takeBack(owner, takesBack, waiting)
      locks.nextRun(lock)
      return { status: 'begun', notes }
    }
  }
  const left = locks.results.kept({ name, owner })
  if (left?.status === 'unbegun' && takesBack !== undefined) return { status: 'displaced', by: '' }
  return left?.status === 'displaced' ? left : { status: 'lost' }
}

function queued(locks: Locks, lock: Lock, ticket: number, seen: Seen): TriggerAnswer {
  return { status: 'busy', ...locks.hint(lock), ticket, requeued: false, seen }
}

/** What stands before a trigger's claim. The claim itself, which a repeated trigger finds, is left out. */
function seenBy(locks: Locks, { holders, queue, runs }: Lock, asking: string): Seen {
  const now = locks.nowMs()
  const pending = runs.pending?.owner
  const seen = (owner: string | undefined): SeenRun | null => {
    if (owner === undefined || owner === asking) return null
    const sinceMs = holders.get(owner)?.acquiredAtMs ?? queue.get(owner)?.sinceMs
    return { owner, ageMs: sinceMs === undefined ? null : now - sinceMs }
  }
  const [holder] = holders.keys()
  const first = queue.first()?.claim.owner
  return {
    running: holder === pending ? null : seen(holder),
    pending: seen(pending),
    waiting: first === pending ? null : seen(first),
  }
}
