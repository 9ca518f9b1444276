// One process of a chaos run: takes five locks in turn, keeps them for a while, and writes down what it sees. Each line is
// written before the act it tells of, so that what is left by SIGKILL is an act without an answer.
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, LockTimeoutError } from 'soloist'

const { url, label, seed, ttlMs, log, options } = JSON.parse(String(process.argv[2]))
const WORKERS = 3
const file = openSync(log, 'a')
const solo = connect(url, { callTimeoutMs: 1_500, ...options })
solo.on('fault', ({ during, error }) => process.stderr.write(`${during}: ${error}\n`))

let state = seed >>> 0
function random() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}

const now = () => Number(process.hrtime.bigint()) / 1e6

/** @param {object} record */
const write = record => writeSync(file, `${JSON.stringify(record)}\n`)

const targets = [
  { name: 'mutex a', mode: 'exclusive', limit: null, lock: solo.rwLock('mutex a').write },
  { name: 'mutex b', mode: 'exclusive', limit: null, lock: solo.rwLock('mutex b').write },
  { name: 'semaphore', mode: 'shared', limit: 3, lock: solo.semaphore('semaphore', 3) },
  { name: 'rw', mode: 'shared', limit: null, lock: solo.rwLock('rw').read },
  { name: 'rw', mode: 'exclusive', limit: null, lock: solo.rwLock('rw').write },
  { name: 'rw 2', mode: 'shared', limit: null, lock: solo.rwLock('rw 2').read },
  { name: 'rw 2', mode: 'exclusive', limit: null, lock: solo.rwLock('rw 2').write },
]

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
    lease = tries ? await lock.tryLock({ ttlMs }) : await lock.lock({ ttlMs, waitMs: 500 + 4_000 * random() })
  } catch (error) {
    write({ event: 'refused', ...about, busy: false, atMs: now() })
    if (!(error instanceof LockTimeoutError)) await sleep(50)
    return
  } finally {
    queued.delete(ours)
  }
  if (lease === null) return write({ event: 'refused', ...about, busy: true, atMs: now() })
  if (lease.owner !== ours) throw new Error(`asked as ${ours} and granted to ${lease.owner}`)
  let untilMs = untilOf(lease)
  const grantedMs = now()
  write({ event: 'granted', ...about, fence: lease.fence, atMs: grantedMs, untilMs })
  const forMs = random() < 0.04 ? 1_500 * random() : 40 * random()
  const endMs = now() + forMs
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
process.on('message', () => {
  over = true
})
process.once('disconnect', () => process.exit(1))

async function work() {
  while (!over) {
    await section()
    await sleep(2 + 20 * random())
  }
}

process.send?.('ready')
await Promise.all(Array.from({ length: WORKERS }, work))
await solo.close()
process.removeAllListeners('disconnect')
process.disconnect()
