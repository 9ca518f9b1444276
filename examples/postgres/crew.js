import { fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./worker.js').Told} Told */
/** @typedef {import('./worker.js').Order} Order */

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url))
/** Workers that still run this long after they were asked to stop are killed. */
const STOP_MS = 5_000

/** A worker process. */
export class Worker {
  /** Emits each step that it tells, by the step's name. */
  told = new EventEmitter()
  #child
  #gone
  #isToEnd = false

  /** @param {import('./worker.js').Settings} settings @param {(error: Error) => void} onDeath of its own */
  constructor(settings, onDeath) {
    this.#child = fork(WORKER)
    this.#gone = once(this.#child, 'exit').then(([code, signal]) => {
      if (!this.#isToEnd) onDeath(new Error(`worker ${this.pid} ended by itself with ${signal ?? `exit code ${code}`}`))
    })
    this.#child.on('message', message => {
      const told = /** @type {Told} */ (message)
      this.told.emit(told.step, told)
    })
    // Not given as arguments, which every user of the machine can read.
    this.#send(settings)
  }

  get pid() {
    return this.#child.pid ?? 0
  }

  /** The next time it tells of this step. @param {Told['step']} step @returns {Promise<Told>} */
  async next(step) {
    const [told] = await once(this.told, step)
    return told
  }

  /** @param {Order} order */
  order(order) {
    this.#send(order)
  }

  suspend() {
    this.#child.kill('SIGSTOP')
  }

  resume() {
    this.#child.kill('SIGCONT')
  }

  async kill() {
    this.#isToEnd = true
    this.#child.kill('SIGKILL')
    await this.#gone
  }

  /** @param {import('./worker.js').Settings | Order} message */
  #send(message) {
    this.#child.send(message, () => {
      // One that has ended says so by its exit.
    })
  }

  /** Ends it, softly first. */
  async stop() {
    this.#isToEnd = true
    for (const signal of /** @type {const} */ (['SIGCONT', 'SIGTERM'])) this.#child.kill(signal)
    const lastResort = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await this.#gone
    clearTimeout(lastResort)
  }
}
