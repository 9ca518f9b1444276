// The jobs of a process of a chaos run: triggers five of them in turn, runs what it is to run, and writes down what it sees.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { now } from './recorder.js'

/** @typedef {{ readonly items: readonly string[] }} Args The triggers whose arguments these are. */
/** @typedef {{ readonly run: string }} Result */

/** @param {Args} pending @param {Args} newest @returns {Args} */
const merge = (pending, newest) => ({ items: [...pending.items, ...newest.items] })

/** @type {readonly { name: string, covers: 'later' | 'live', options: import('soloist').JobOptions<Args> }[]} */
const kinds = [
  { name: 'job join', covers: 'live', options: {} },
  { name: 'job rerun', covers: 'later', options: { onDuplicate: 'rerun' } },
  { name: 'job merge', covers: 'later', options: { onDuplicate: 'rerun', merge } },
  { name: 'job replace', covers: 'later', options: { onDuplicate: 'replace' } },
  { name: 'job delay', covers: 'later', options: { onDuplicate: 'delay' } },
]

/** What a handler throws now and then. */
class Failed extends Error {
  /** @param {string} run */
  constructor(run) {
    super(`the run ${run} failed`)
    this.run = run
  }
}

/** The handler was called when its lease had just run out. */
class Lapsed extends Error {
  code = 'LAPSED'
}

/**
 * @param {object} given
 * @param {import('soloist').Soloist} given.solo
 * @param {string} given.label
 * @param {number} given.ttlMs
 * @param {boolean} given.hurries whether runs are short
 * @param {number} given.copies how many jobs there are of each kind
 * @param {() => number} given.random
 * @param {(record: { readonly name: string }) => void} given.write
 * @returns triggers one of the jobs, and waits until it is told what became of that
 */
export function jobsOf({ solo, label, ttlMs, hurries, copies, random, write }) {
  const jobs = Array.from({ length: copies }, (_, copy) =>
    kinds.map(({ name: kind, covers, options }) => {
      const name = copy === 0 ? kind : `${kind} (${copy})`
      /** @type {import('soloist').JobHandler<Args, Result>} */
      const handler = (args, run) => handle(name, args, run)
      const job = solo.job(name, { ...options, ttlMs, uniqueOn: [] }, handler)
      return { name, covers, merges: kind === 'job merge', job }
    }),
  ).flat()
  let triggers = 0

  /**
   * @param {string} name
   * @param {Args} args
   * @param {import('soloist').JobRun} run
   * @returns {Promise<Result>}
   */
  async function handle(name, { items }, run) {
    const about = { name, run: run.id }
    const atMs = now()
    if (!isValid(run)) throw new Lapsed('the lease had run out')
    write({ event: 'started', ...about, process: label, fence: run.fence, limit: 1, triggers: items, atMs })
    if (hurries) await turn()
    await rest(
      about,
      run,
      hurries ? (random() < 0.002 ? 2 * ttlMs * random() : 0) : random() < 0.1 ? 2 * ttlMs * random() : 30 * random(),
    )
    const endMs = now()
    write({ event: 'finished', ...about, valid: isValid(run), atMs: endMs })
    if (random() < 0.05) throw new Failed(run.id)
    return { run: run.id }
  }

  /**
   * @param {{ name: string, run: string }} about
   * @param {import('soloist').JobRun} run
   * @param {number} forMs
   */
  async function rest(about, run, forMs) {
    if (forMs === 0) return
    const untilMs = now() + forMs
    while (now() < untilMs && !run.signal.aborted) {
      await sleep(Math.min(100, Math.max(untilMs - now(), 1)))
      const atMs = now()
      if (!isValid(run)) return
      write({ event: 'running', ...about, atMs })
    }
  }

  return async () => {
    const { name, covers, merges, job } = /** @type {(typeof jobs)[number]} */ (
      jobs[Math.floor(random() * jobs.length)]
    )
    triggers += 1
    const about = { name, trigger: `${label}/${triggers}` }
    write({ event: 'trigger', ...about, process: label, covers, merges, atMs: now() })
    try {
      const outcome = await job.trigger({ items: [about.trigger] })
      write({ event: 'accepted', ...about, atMs: now() })
      const { run } = await outcome.result()
      write({ event: 'settled', ...about, run, atMs: now() })
    } catch (error) {
      const { run, id, code } = /** @type {{ run?: string, id?: string, code?: string }} */ (error)
      const of = run ?? (code === 'JOB_FAILED' ? id : undefined)
      const lapsed = error instanceof Lapsed || /** @type {any} */ (error).cause?.code === 'LAPSED'
      if (of !== undefined && !lapsed) write({ event: 'settled', ...about, run: of, atMs: now() })
      else
        write({ event: 'settled', ...about, run: null, code: lapsed ? 'LAPSED' : String(code ?? error), atMs: now() })
      if (code === 'BACKEND_UNAVAILABLE') await sleep(50)
    }
  }
}

/** @param {import('soloist').JobRun} run */
function isValid(run) {
  try {
    run.assertValid()
    return true
  } catch {
    return false
  }
}
