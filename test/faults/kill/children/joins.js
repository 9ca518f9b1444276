// One of several processes with a job. Arguments: the store, where it is, the prefix of its locks and the kind of job.
import process from 'node:process'
import { connect } from 'soloist'
import { answer } from '../../../support/crowd-member.js'
import { opener } from './boundaries.js'

const [store, where, prefix, kind] = process.argv.slice(2).map(String)
const open = await opener(String(store), String(where), String(prefix))
const solo = connect(open(), { callTimeoutMs: 20_000 })

/** So long that nothing is renewed in a test: a renewal asks about the lock, too. */
const TTL_MS = 600_000

/** @typedef {{ readonly items: readonly string[] }} Args Whose arguments these are. */

/** @param {Args} pending @param {Args} newest @returns {Args} */
const merge = (pending, newest) => ({ items: [...pending.items, ...newest.items] })

/** @type {Record<string, import('soloist').JobOptions<Args>>} */
const kinds = {
  'adds to it': { onDuplicate: 'rerun', merge },
  'joins it': { mode: 'untilAndWhileExecuting', onDuplicate: 'join' },
}
/** @type {() => void} */
let end = () => {}
const live = new Promise(resolve => {
  end = () => resolve(undefined)
})
/** Whether the handler of this process waits until it is told to end. */
let lasts = false
const job = solo.job(
  'crowd',
  { ...kinds[String(kind)], ttlMs: TTL_MS, uniqueOn: [] },
  async (/** @type {Args} */ args, run) => {
    if (lasts) await live
    return { id: run.id, items: args.items }
  },
)
/** @type {Promise<import('soloist').JobOutcome<{ id: string, items: readonly string[] }>>[]} */
let triggers = []

answer({
  /** Begins a run that goes on until it is told to end. @returns its id */
  async executes() {
    lasts = true
    const { id } = await job.trigger({ items: ['executes'] })
    return { id }
  },
  ends: () => end(),
  /** All in one tick. @returns the runs that they were told of */
  async triggers(/** @type {readonly string[]} */ items) {
    triggers = items.map(item => job.trigger({ items: [item] }))
    const outcomes = await Promise.all(triggers)
    return [...new Set(outcomes.map(({ id }) => id))]
  },
  /** What became of them: the runs, with whose arguments each had. */
  async results() {
    const outcomes = await Promise.all(triggers)
    const results = await Promise.all(outcomes.map(outcome => outcome.result()))
    return [...new Map(results.map(({ id, items }) => [id, items]))]
  },
  close: () => solo.close(),
})
