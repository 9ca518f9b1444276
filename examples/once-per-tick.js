// Five instances are woken by the same tick. One runs the job; the lock is kept a while after, so that an instance whose
// clock is a little late does not run it again.
import { connect } from 'soloist'

const url = process.argv[2] ?? 'memory:'
const solo = connect(url)

/** @param {string} instance */
async function tick(instance) {
  const lease = await solo.tryLock('tick:nightly-report', { holdForMs: 2_000, meta: instance })
  if (lease === null) return `${instance}: another one runs it`
  await lease.release()
  return `${instance}: runs it`
}

const outcomes = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(tick))
console.log([...outcomes, await tick('late')].join('\n'))
await solo.close()
