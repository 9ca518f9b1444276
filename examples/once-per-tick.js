// Five instances are woken by the same tick. One runs the job; the tick stays taken afterwards, so that an instance whose
// clock is a little late does not run it again.
import { connect } from 'soloist'
import { oncePerTick, tickOf } from 'soloist/cron'

const url = process.argv[2] ?? 'memory:'
const solo = connect(url)
const tick = tickOf(60_000)

/** @param {string} instance */
async function wake(instance) {
  const { status } = await oncePerTick(solo, 'nightly-report', tick, () => {})
  return `${instance}: ${status === 'ran' ? 'runs it' : 'another one runs it'}`
}

const outcomes = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(wake))
console.log([...outcomes, await wake('late')].join('\n'))
await solo.close()
