// A process that makes one operation and kills itself at one boundary of it: before a call is sent, when it was sent and has
// no reply, or when the reply is there and nothing came of it yet. Boundaries are numbered from 1 as they are met. Before it
// ends, in either way, it says which it met.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'
import { connect } from 'soloist'
import { operations } from './operations.js'

const { store, where, prefix, operation, point } = JSON.parse(String(process.argv[2]))
const { redisBackend } = store === 'redis' ? await import('soloist/redis') : { redisBackend: null }
const { sqliteBackend } = store === 'sqlite' ? await import('soloist/sqlite') : { sqliteBackend: null }

/** A client of the store. */
const open = () => redisBackend?.(where, { prefix }) ?? sqliteBackend?.(where, { prefix })

/** @param {object} record */
const say = record => writeSync(1, `${JSON.stringify(record)}\n`)

let met = 0
/** @type {string[]} */
const places = []

/** @param {string} place */
async function boundary(place) {
  met += 1
  places.push(place)
  if (met !== point) return
  say({ places })
  process.kill(process.pid, 'SIGKILL')
  // Nothing more happens here.
  await new Promise(() => {})
}

const backend = /** @type {import('soloist').Backend} */ (open())
const run = backend.run.bind(backend)
backend.run = async steps => {
  const what = steps.map(({ kind }) => kind).join(' ')
  await boundary(`before ${what}`)
  const answers = run(steps)
  void Promise.allSettled([answers])
  await turn()
  await boundary(`sent ${what}`)
  await Promise.allSettled([answers])
  await boundary(`answered ${what}`)
  return await answers
}

/** @param {import('soloist').Lease} lease */
const tell = ({ name, fence }) => say({ name, fence })
const solo = connect(backend)
const other = connect(/** @type {import('soloist').Backend} */ (open()))
await operations[operation]?.({ solo, other, tell })
await solo.close()
await other.close()
say({ places })
