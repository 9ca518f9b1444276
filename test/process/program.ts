import { type Child, start } from '../support/child.js'

/** How long a program may run, in milliseconds: some ten times what it takes, since others share the machine. */
const RUN_MS = 60_000
/** For a test of one program. It is over after the program's own, so that the program can tell what was wrong. */
export const timeout: number = RUN_MS + 15_000

/**
 * An example in processes of its own, which are ended at the latest with the test, or when their time is up: then `ended` and
 * `until` reject with all that it had printed.
 */
export class Program implements AsyncDisposable {
  readonly ended: Promise<{ readonly exitCode: number | null; readonly printed: string }>
  readonly #child: Child
  readonly #command: string
  #overdue = false

  /** @param main the path of what Node runs @param runMs how long it may take */
  constructor(main: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, runMs: number = RUN_MS) {
    this.#command = [main, ...args].join(' ')
    this.#child = start(process.execPath, [main, ...args], process.cwd(), env)
    const timer = setTimeout(() => {
      this.#overdue = true
      this.signal('SIGKILL')
    }, runMs)
    this.ended = this.#child.ended.then(({ code }) => {
      clearTimeout(timer)
      if (this.#overdue) throw new Error(`${this.#command} did not end within ${runMs / 1_000} s. ${this.#soFar()}`)
      return { exitCode: code, printed: this.printed }
    })
    // Also where a test does not wait for its end.
    this.ended.catch(() => {})
  }

  get printed(): string {
    return this.#child.stdout + this.#child.stderr
  }

  /** Of its group. */
  get pid(): number {
    return this.#child.pid as number
  }

  /** Sends a signal to all its processes, as a terminal does. */
  signal(signal: NodeJS.Signals): void {
    this.#child.end(signal)
  }

  /** Resolves when `condition` holds. @throws Error when the program ended before */
  async until(condition: () => boolean): Promise<void> {
    let running = true
    void this.#child.ended.then(() => {
      running = false
    })
    while (!condition()) {
      if (!running) {
        await this.ended
        throw new Error(`${this.#command} ended too early. ${this.#soFar()}`)
      }
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL')
    await this.#child.ended
  }

  #soFar(): string {
    return `It printed:\n${this.printed}`
  }
}
