// One process of a chaos run: takes five locks in turn and keeps them for a while, triggers five jobs, and writes down what it
// sees. Last it tells what its clients left behind in it.
import process from 'node:process'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { connect, LockTimeoutError, SoloistError } from 'soloist'
import { jobsOf } from './jobs.js'
import { watchLeft } from './left.js'
import { now, randomOf, recorder } from './recorder.js'

const { url, label, seed, ttlMs, log, load, options } = JSON.parse(String(process.argv[2]))
/** How long a call may take. */
const CALL_MS = 1_500
/** Who got no answer in time may so long hear of a grant too late, and has lost its turn then. */
const RECOVERY_MS = 3_000

let lateUntilMs = 0

/** Notes that a busy machine is a fault, too; about once a second. */
function late() {
  const [atMs, untilMs] = [now() - CALL_MS, now() + RECOVERY_MS]
  if (untilMs < lateUntilMs + 1_000) return
  lateUntilMs = untilMs
  write({ name: 'late', event: 'fault', kind: 'late answer', atMs, untilMs, hits: 1, processes: [label] })
}
/** Under load many callers ask for locks and keep them for a moment. */
const hurries = load !== null
const CALLERS = hurries ? load : 3
const TRIGGERERS = hurries ? Math.ceil(load / 12) : 2
const write = recorder(log)
const left = watchLeft()
const solo = connect(url, { callTimeoutMs: CALL_MS, ...options })
solo.on('fault', ({ during, error }) => {
  process.stderr.write(`${during}: ${error}\n`)
  if (error instanceof SoloistError && error.code === 'BACKEND_UNAVAILABLE') late()
})
// Claims of a client are numbered as they are made, those for jobs too: these have a client of their own.
const jobsSolo = connect(url, { callTimeoutMs: CALL_MS, ...options })
jobsSolo.on('fault', ({ during, error }) => process.stderr.write(`jobs: ${during}: ${error}\n`))
const random = randomOf(seed)

/** How many locks and jobs there are of each kind: under load so many that callers do not only wait for each other. */
const COPIES = hurries ? 16 : 1
const targets = Array.from({ length: COPIES }, (_, copy) => {
  const [mutexA, mutexB, semaphore, rw, rw2] = ['mutex a', 'mutex b', 'semaphore', 'rw', 'rw 2'].map(name =>
    copy === 0 ? name : `${name} (${copy})`,
  )
  return /** @type {const} */ ([
    [mutexA, 'exclusive', null, solo.rwLock(String(mutexA)).write],
    [mutexB, 'exclusive', null, solo.rwLock(String(mutexB)).write],
    [semaphore, 'shared', 3, solo.semaphore(String(semaphore), 3)],
    [rw, 'shared', null, solo.rwLock(String(rw)).read],
    [rw, 'exclusive', null, solo.rwLock(String(rw)).write],
    [rw2, 'shared', null, solo.rwLock(String(rw2)).read],
    [rw2, 'exclusive', null, solo.rwLock(String(rw2)).write],
  ]).map(([name, mode, limit, lock]) => ({ name: String(name), mode, limit, lock }))
}).flat()

/** Until when the lease is proven. The shared clock is read first: a pause in between makes it shorter, and not longer. */
function untilOf(/** @type {import('soloist').Lease} */ lease) {
  const atMs = now()
  return atMs + (lease.expiresAt.getTime() - Date.now())
}

/** What the recorder knows each claim by: which claim the library made of it is not known before it is granted. */
let claims = 0
/** @type {Map<string, () => void>} */
const queued = new Map()
solo.on('waiting', ({ owner }) => queued.get(owner)?.())

/** For how long a lock is kept: now and then for longer than its ttl. */
function holdMs() {
  if (random() < (hurries ? 0.0005 : 0.04)) return 2 * ttlMs * random()
  return hurries ? 0 : 40 * random()
}

async function section() {
  const target = /** @type {(typeof targets)[number]} */ (targets[Math.floor(random() * targets.length)])
  const { name, mode, limit, lock } = target
  claims += 1
  const owner = `${label}/${claims}`
  const about = { name, owner }
  const tries = random() < 0.15
  write({ event: 'invoke', ...about, mode, limit, process: label, ttlMs, atMs: now() })
  // Claims are numbered as they are made, so this is the owner that the library gives it.
  const ours = `${solo.clientId}/${claims}`
  queued.set(ours, () => write({ event: 'queued', ...about, atMs: now() }))
  let lease
  try {
    lease = tries
      ? await lock.tryLock({ ttlMs })
      : await lock.lock({ ttlMs, waitMs: hurries ? 20_000 : 500 + 4_000 * random() })
  } catch (error) {
    write({ event: 'refused', ...about, busy: false, atMs: now() })
    if (!(error instanceof LockTimeoutError)) await sleep(50)
    return
  } finally {
    queued.delete(ours)
  }
  // A server that grants nothing since it has just started does not tell that the lock is held.
  const busy = options.restartGuardMs === undefined
  if (lease === null) return write({ event: 'refused', ...about, busy, atMs: now() })
  if (lease.owner !== ours) throw new Error(`asked as ${ours} and granted to ${lease.owner}`)
  let untilMs = untilOf(lease)
  const grantedMs = now()
  write({ event: 'granted', ...about, fence: lease.fence, atMs: grantedMs, untilMs })
  const endMs = now() + holdMs()
  if (hurries) await turn()
  while (now() < endMs && !lease.signal.aborted) {
    await sleep(Math.min(50, Math.max(endMs - now(), 1)))
    const next = untilOf(lease)
    if (next < untilMs + 100 || lease.signal.aborted) continue
    const atMs = now()
    try {
      lease.assertValid()
    } catch {
      break
    }
    untilMs = next
    write({ event: 'renewed', ...about, atMs, untilMs })
  }
  let valid = true
  const atMs = now()
  try {
    lease.assertValid()
    untilMs = Math.max(untilMs, untilOf(lease))
  } catch {
    valid = false
  }
  if (!valid || atMs >= untilMs) write({ event: 'lost', ...about, atMs: Math.max(Math.min(atMs, untilMs), grantedMs) })
  else write({ event: 'released', ...about, atMs })
  try {
    await lease.release()
    if (valid && atMs < untilMs) write({ event: 'returned', ...about, held: null, atMs: now() })
  } catch {
    // No answer: it is unknown when it took effect.
  }
}

let over = false
const onMessage = () => {
  over = true
}
const onDisconnect = () => process.exit(1)
process.on('message', onMessage)
process.once('disconnect', onDisconnect)

/** @param {() => Promise<unknown>} act */
async function work(act) {
  while (!over) {
    await act()
    if (hurries) await turn()
    else await sleep(2 + 20 * random())
  }
}

const trigger = jobsOf({ solo: jobsSolo, label, ttlMs, hurries, copies: COPIES, random, write })
process.send?.('ready')
await Promise.all([
  ...Array.from({ length: CALLERS }, () => work(section)),
  ...Array.from({ length: TRIGGERERS }, () => work(trigger)),
])
for (const closed of await Promise.allSettled([solo.close(), jobsSolo.close()])) {
  if (closed.status === 'fulfilled') continue
  // A store that is kept from answering right then: what is held runs out. It is closed all the same, and nothing is left of it.
  if (!(closed.reason instanceof SoloistError && closed.reason.code === 'BACKEND_UNAVAILABLE')) throw closed.reason
  console.error('close:', String(closed.reason))
}
process.off('message', onMessage)
process.off('disconnect', onDisconnect)
// What was closed in this turn of the event loop is gone in the next.
await sleep(50)
process.send?.({ left: left() }, () => process.disconnect())
