// One library under a plan of faults: a server that loses nothing, a proxy before it, and processes of the library.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startProxy } from './proxy.js'
import { now, recorder } from './recorder.js'
import { startServer } from './server.js'

/** What is still open so long after everything is well again does not end any more. */
const SETTLE_MS = 10_000

/**
 * @typedef {object} Course
 * @property {string} library
 * @property {string} child the program of a process, a file beside this one
 * @property {number} seed
 * @property {number} forMs
 * @property {number} processes
 * @property {readonly import('./plan.js').Fault[]} plan
 * @property {object} more what each process is told beside
 * @property {number} [drainMs] how long after the last fault the processes go on, without beginning anything
 */

/** @typedef {{ label: string, process: import('node:child_process').ChildProcess, ended: boolean }} Child */

/** @param {Course} course @returns {Promise<readonly any[]>} what the processes saw, and what was done to them, by time */
export async function underFaults(course) {
  const folder = mkdtempSync(join(tmpdir(), 'soloist-bench-faults-'))
  const server = await startServer()
  const proxy = await startProxy(server.port)
  const run = new Run(course, folder, server, proxy)
  try {
    await run.go()
  } finally {
    run.end()
    proxy.close()
    await server.stop()
  }
  const files = readdirSync(folder).filter(file => file.endsWith('.jsonl'))
  const lines = files.flatMap(file => readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean))
  rmSync(folder, { recursive: true, force: true })
  return lines.map(line => JSON.parse(line)).sort((a, b) => a.atMs - b.atMs)
}

class Run {
  /** @type {Child[]} */
  #children = []
  #started = 0
  #over = false
  /** @type {Promise<void>} */
  #restarted = Promise.resolve()
  #course
  #folder
  #server
  #proxy
  #write

  /**
   * @param {Course} course
   * @param {string} folder
   * @param {Awaited<ReturnType<typeof startServer>>} server
   * @param {Awaited<ReturnType<typeof startProxy>>} proxy
   */
  constructor(course, folder, server, proxy) {
    this.#course = course
    this.#folder = folder
    this.#server = server
    this.#proxy = proxy
    this.#write = recorder(join(folder, 'faults.jsonl'))
  }

  async go() {
    const { processes, plan, forMs, drainMs = 0 } = this.#course
    await Promise.all(Array.from({ length: processes }, (_, place) => this.#spawn(place)))
    const startMs = now()
    const made = []
    for (const fault of plan) {
      await sleep(Math.max(startMs + fault.atMs - now(), 0))
      made.push(this.#make(fault))
    }
    await Promise.all(made)
    await sleep(Math.max(startMs + forMs - now(), 0))
    if (drainMs > 0) {
      for (const { process, ended } of this.#children) if (!ended) process.send('stop')
      await sleep(drainMs)
    }
    this.#over = true
    const exits = this.#children.map(async ({ process, ended }) => {
      if (ended) return
      const exited = once(process, 'exit')
      process.send('end')
      await Promise.race([exited, sleep(SETTLE_MS)])
    })
    await Promise.all(exits)
    this.#write({ event: 'over', atMs: now() })
  }

  end() {
    this.#over = true
    for (const { process } of this.#children) process.kill('SIGKILL')
  }

  /** @param {number} place */
  async #spawn(place) {
    const number = this.#started++
    const { library, child, seed, more } = this.#course
    const label = `process ${number}`
    const log = join(this.#folder, `${number}.jsonl`)
    const told = { library, url: this.#proxy.url, seed: seed + number, label, log, place, ...more }
    const errors = openSync(join(this.#folder, `${number}.log`), 'a')
    const program = fileURLToPath(new URL(child, import.meta.url))
    const process = fork(program, [JSON.stringify(told)], { execArgv: [], stdio: ['ignore', errors, errors, 'ipc'] })
    const one = { label, process, ended: false }
    this.#children[place] = one
    process.once('exit', (code, signal) => {
      one.ended = true
      this.#write({ event: 'exit', process: label, atMs: now(), code, signal })
      // One that crashed is started again, as an operator would.
      if (!this.#over && signal !== 'SIGKILL') void this.#spawn(place)
    })
    await Promise.race([once(process, 'message'), once(process, 'exit')])
  }

  /** @param {import('./plan.js').Fault} fault */
  async #make({ kind, process: place, forMs }) {
    const proxy = this.#proxy
    const child = /** @type {Child} */ (this.#children[place])
    this.#write({ event: 'fault', kind, process: child.label, atMs: now(), forMs })
    switch (kind) {
      case 'kill':
        child.process.kill('SIGKILL')
        return await this.#spawn(place)
      case 'stop':
        child.process.kill('SIGSTOP')
        await sleep(forMs)
        child.process.kill('SIGCONT')
        return
      case 'cut':
        return proxy.cut()
      case 'delay':
        proxy.delay(forMs / 3)
        await sleep(forMs)
        return proxy.delay(0)
      case 'blackhole':
        proxy.blackhole()
        await sleep(forMs)
        return proxy.heal()
      case 'no-replies':
        proxy.mute()
        await sleep(forMs / 2)
        return proxy.cut()
      case 'readonly':
        return await this.#server.readonly(forMs / 2)
      default:
        this.#restarted = this.#restarted.then(() => this.#server.restart(forMs / 4))
        return await this.#restarted
    }
  }
}
