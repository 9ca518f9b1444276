// A process that takes locks, and acts as long as its library says that it may.
import { setTimeout as sleep } from 'node:timers/promises'
import { holder } from './holders.js'
import { randomOf } from './plan.js'
import { now, recordCrashes, recorder } from './recorder.js'

const { library, url, seed, label, log, terms, locks, workers } = JSON.parse(String(process.argv[2]))
const write = recorder(log)
recordCrashes(write)
const random = randomOf(seed)
const { hold, close } = await holder(library, url, terms)
/** How long a section takes: a quarter of them has to be renewed. */
const sectionMs = () => (random() < 0.25 ? terms.ttlMs * (0.5 + 1.5 * random()) : 20 + 60 * random())
const ACT_MS = 10

let calls = 0
let over = false
process.on('message', () => {
  over = true
})
process.once('disconnect', () => process.exit(1))

async function call() {
  calls += 1
  const about = { id: `${label}/${calls}`, lock: `lock ${Math.floor(random() * locks)}` }
  const forMs = sectionMs()
  write({ event: 'call', ...about, atMs: now() })
  try {
    await hold(about.lock, async counts => {
      const grantedMs = now()
      write({ event: 'granted', ...about, atMs: grantedMs })
      while (now() < grantedMs + forMs) {
        await sleep(ACT_MS)
        const atMs = now()
        if (!counts()) break
        write({ event: 'act', ...about, atMs })
      }
      write({ event: 'end', ...about, atMs: now() })
    })
    write({ event: 'settled', ...about, atMs: now(), ok: true })
  } catch (error) {
    write({
      event: 'settled',
      ...about,
      atMs: now(),
      ok: false,
      error: error instanceof Error ? error.name : 'unknown',
    })
  }
}

async function work() {
  while (!over) {
    await call()
    await sleep(5 + 30 * random())
  }
}

process.send?.('ready')
await Promise.all(Array.from({ length: workers }, work))
await Promise.race([close(), sleep(5_000, null, { ref: false })])
process.removeAllListeners('disconnect')
process.exit(0)
