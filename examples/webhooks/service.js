import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** @typedef {import('./process.js').Settings} Settings */
/** @typedef {import('./process.js').Told} Told */
/** @typedef {{ name: string, pid: number, child: import('node:child_process').ChildProcess }} Member */

/** Processes that still run this long after they were asked to stop are killed. */
const STOP_MS = 5_000

/** The processes of the service: one receiver and some workers. */
export class Service {
  /** Rejects when a process ends that nobody ended. @type {Promise<never>} */
  failed
  #settings
  #onTold
  /** @type {(error: Error) => void} */
  #fail = () => {}
  /** Those that run. @type {Map<import('node:child_process').ChildProcess, Promise<unknown>>} */
  #running = new Map()
  #workers = 0
  #stopping = false

  /** @param {Settings} settings @param {(told: Told, member: Member) => void} onTold */
  constructor(settings, onTold) {
    this.#settings = settings
    this.#onTold = onTold
    this.failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    // It is raced against what is awaited; between two awaits nobody looks.
    this.failed.catch(() => {})
  }

  /** Starts the receiver. @returns {Promise<string>} the URL deliveries are posted to */
  async receive() {
    const { told } = await this.#start('receiver.js', 'receiver')
    return told.step === 'ready' && told.url !== undefined ? told.url : Promise.reject(new Error('no URL'))
  }

  /** Starts one more worker. @returns {Promise<Member>} */
  async work() {
    this.#workers += 1
    return (await this.#start('worker.js', `worker ${this.#workers}`)).member
  }

  /** Stops a member where it is. Who does that kills it or lets it go on. @param {Member} member */
  suspend({ child }) {
    child.kill('SIGSTOP')
  }

  /** Lets a suspended member go on. @param {Member} member */
  resume({ child }) {
    child.kill('SIGCONT')
  }

  /** Kills a member, and resolves when it is gone. @param {Member} member */
  async kill({ child }) {
    const gone = this.#running.get(child)
    this.#running.delete(child)
    child.kill('SIGKILL')
    await gone
  }

  /** Ends all, softly first. */
  async stop() {
    this.#stopping = true
    const running = [...this.#running]
    for (const [child] of running) child.kill('SIGTERM')
    const lastResort = setTimeout(() => running.forEach(([child]) => void child.kill('SIGKILL')), STOP_MS)
    await Promise.all(running.map(([, gone]) => gone))
    clearTimeout(lastResort)
  }

  /** @param {string} script @param {string} name @returns {Promise<{ member: Member, told: Told }>} */
  async #start(script, name) {
    const child = fork(fileURLToPath(new URL(script, import.meta.url)))
    const member = { name, pid: child.pid ?? 0, child }
    const gone = new Promise(resolve => {
      child.once('error', resolve)
      child.once('exit', (code, signal) => {
        if (this.#running.delete(child) && !this.#stopping) {
          this.#fail(new Error(`${name} ended by itself with ${signal ?? `exit code ${code}`}`))
        }
        resolve(null)
      })
    })
    this.#running.set(child, gone)
    // Not given as arguments, which every user of the machine can read.
    child.send(this.#settings)
    const [told] = await Promise.race([once(child, 'message'), this.failed])
    child.on('message', message => this.#onTold(/** @type {Told} */ (message), member))
    return { member, told }
  }
}
