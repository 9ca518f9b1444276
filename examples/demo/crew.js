import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Journal, readJournal } from './journal.js'

/** @typedef {import('./journal.js').Event} Event */
/** @typedef {import('./requests.js').Request} Request */
/** @typedef {Omit<import('./worker.js').Assignment, 'worker' | 'requests'>} Settings */

/**
 * One worker process. `replaces` is the killed worker whose requests it took over.
 *
 * @typedef {object} Member
 * @property {string} name
 * @property {number | undefined} pid
 * @property {string | null} replaces
 * @property {boolean} killed
 * @property {Request[]} requests
 * @property {Event[]} events what it told so far
 * @property {import('node:child_process').ChildProcess} child
 */

/** The name of the parent's own journal. */
export const PARENT = 'parent'

/** Worker processes still running this long after they were asked to stop are killed. */
const STOP_MS = 3_000

/**
 * The worker processes of one run. The first that measures a heavy package once half of all requests are served is
 * killed while it does; a new worker takes over what it had left.
 */
export class Crew {
  /** Every worker there was, in the order they were started. @type {Member[]} */
  members = []

  #settings
  #heavyBytes
  #onEvent
  #journal
  #requests = 0
  #served = 0
  /** Each worker's end: what made it fail, or `null`. @type {Promise<Error | null>[]} */
  #ends = []
  /** The member that was sent SIGKILL; `null` before, and again when it died without a lock in its hands. @type {Member | null} */
  #victim = null
  #stopping = false

  /**
   * @param {Settings} settings
   * @param {object} options
   * @param {number} options.heavyBytes the least size of the package that costs its worker's life
   * @param {(event: Event, member: Member) => void} options.onEvent
   */
  constructor(settings, { heavyBytes, onEvent }) {
    this.#settings = settings
    this.#heavyBytes = heavyBytes
    this.#onEvent = onEvent
    this.#journal = new Journal(settings.runFolder, PARENT, () => {})
  }

  /** Serves every request. @param {Request[][]} shares one per worker @throws when a worker failed by itself */
  async run(shares) {
    this.#requests = shares.flat().length
    for (const share of shares) this.#start(share, null)
    // The list grows while it is walked: a killed worker's end adds its successor's.
    for (const end of this.#ends) {
      const failure = await end
      if (failure !== null) throw failure
    }
  }

  /** Ends every worker, softly first. */
  async stop() {
    this.#stopping = true
    const running = this.members.map(({ child }) => child).filter(child => child.exitCode === null && !child.signalCode)
    for (const child of running) child.kill('SIGTERM')
    const lastResort = setTimeout(() => running.forEach(child => void child.kill('SIGKILL')), STOP_MS)
    await Promise.all(this.#ends)
    clearTimeout(lastResort)
  }

  /** @param {Request[]} requests @param {string | null} replaces */
  #start(requests, replaces) {
    const name = String(this.members.length + 1)
    const child = fork(fileURLToPath(new URL('worker.js', import.meta.url)))
    /** @type {Member} */
    const member = { name, pid: child.pid, replaces, killed: false, requests, events: [], child }
    this.members.push(member)
    child.on('message', event => this.#told(member, /** @type {Event} */ (event)))
    child.send({ ...this.#settings, worker: name, requests })
    this.#ends.push(
      new Promise(resolve => {
        child.once('error', resolve)
        child.once('exit', (code, signal) => {
          if (this.#stopping || code === 0) return resolve(null)
          if (signal !== 'SIGKILL' || this.#victim !== member) {
            return resolve(new Error(`worker ${name} ended by itself with ${signal ?? `exit code ${code}`}`))
          }
          this.#replace(member)
          resolve(null)
        })
      }),
    )
  }

  /** @param {Member} member @param {Event} event */
  #told(member, event) {
    // What was still on its way when the worker died has been read from its journal.
    if (member.killed) return
    member.events.push(event)
    if (event.step === 'served') this.#served += 1
    this.#onEvent(event, member)
    const isHeavy = event.step === 'measuring' && (event.bytes ?? 0) >= this.#heavyBytes
    if (isHeavy && this.#victim === null && this.#served * 2 >= this.#requests && !this.#stopping) {
      this.#victim = member
      this.#journal.note('kill', about(member, event))
      member.child.kill('SIGKILL')
    }
  }

  /** A killed worker's journal says what it did to the end; what it did not serve goes to a new worker. @param {Member} member */
  #replace(member) {
    for (const event of readJournal(this.#settings.runFolder, member.name).slice(member.events.length)) {
      this.#told(member, event)
    }
    member.killed = true
    const held = lockInHand(member.events)
    this.#onEvent(this.#journal.note('killed', about(member, held ?? {})), member)
    if (held === null) this.#victim = null
    const served = new Set(member.events.filter(({ step }) => step === 'served').map(({ request }) => request))
    const left = member.requests.filter(({ id }) => !served.has(id))
    // The one it died with comes last: its lock stays taken for a while.
    this.#start([...left.slice(1), ...left.slice(0, 1)], member.name)
  }
}

/** The grant that was not given back yet, or `null`. @param {Event[]} events */
function lockInHand(events) {
  const last = events.findLast(({ step }) => step === 'granted' || step === 'releasing' || step === 'lost')
  return last?.step === 'granted' ? last : null
}

/** @param {Member} member @param {Partial<Event>} event @returns {Partial<Event>} */
function about(member, { request, package: path, fence }) {
  return {
    worker: member.name,
    ...(request === undefined ? {} : { request }),
    ...(path === undefined ? {} : { package: path }),
    ...(fence === undefined ? {} : { fence }),
  }
}
