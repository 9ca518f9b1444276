import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Bench } from './support.js'

/** A process of `children/`, which tells by messages how far it is. */
export class Child {
  readonly process: ChildProcess
  readonly #exited: Promise<unknown>
  /** No message comes after it; after the exit one may. */
  readonly #disconnected: Promise<unknown>
  readonly #messages: unknown[] = []
  #stderr = ''

  constructor(bench: Bench, file: string, config: object) {
    const { url, prefix, lockPrefix } = bench
    this.process = fork(new URL(`./children/${file}`, import.meta.url), {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, CONFIG: JSON.stringify({ url, prefix, lockPrefix, ...config }) },
    })
    this.process.on('message', message => this.#messages.push(message))
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    this.#exited = once(this.process, 'exit')
    this.#disconnected = once(this.process, 'disconnect')
    bench.closeLater(() => this.kill())
  }

  get pid(): number {
    return this.process.pid as number
  }

  /** The next message. */
  async message(): Promise<unknown> {
    while (this.#messages.length === 0) {
      const ended = await Promise.race([
        once(this.process, 'message').then(() => false),
        this.#disconnected.then(() => true),
      ])
      if (ended && this.#messages.length === 0) throw new Error(`the process has ended: ${this.#stderr}`)
    }
    return this.#messages.shift()
  }

  /** With no time for anything. Safe to call twice. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.#exited
  }
}
