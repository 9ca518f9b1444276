// A holder is paused for longer than its lease, and writes when it wakes. The resource has seen a higher fence by then.
import { connect, SoloistError } from 'soloist'

const url = process.argv[2] ?? 'memory:'
const [first, second] = [connect(url), connect(url)]
const [a, b] = url === 'memory:' ? [first, first] : [first, second]

let highestFence = 0
let value = 'nothing'
/** Stands for a database that compares the fence in the same statement as it writes. @param {string} text @param {number} fence */
function write(text, fence) {
  if (fence < highestFence) return `refused: ${text}`
  highestFence = fence
  value = text
  return `written: ${text}`
}

const paused = await a.lock('document', { ttlMs: 200 })
// The process is blocked, so nothing renews its lease.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
const next = await b.lock('document', { waitMs: 5_000 })
console.log(write('by the second holder', next.fence))
console.log(write('late, by the first holder', paused.fence))
try {
  paused.assertValid()
} catch (error) {
  if (!(error instanceof SoloistError)) throw error
  console.log(`the first holder knows: ${error.code}`)
}
console.log(`the document holds what was written ${value}`)
await next.release()
await Promise.all([first.close(), second.close()])
