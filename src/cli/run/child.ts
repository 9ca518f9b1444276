import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Launch } from './launch.js'

/** How CMD ended: by itself with an exit code, or by a signal. */
export type Ending =
  | { readonly exitCode: number; readonly signal: null }
  | { readonly exitCode: null; readonly signal: NodeJS.Signals }

/**
 * CMD as a child process with this process's stdin, stdout and stderr, in the same process group.
 */
export class Child {
  /** Resolves once CMD runs; rejects with the system's error when it cannot be started. */
  readonly started: Promise<unknown>
  /** Stays pending for CMD that was never started. */
  readonly ended: Promise<Ending>
  readonly #process: ChildProcess

  /**
   * @param env what CMD gets beside the variables of this command
   * @throws the system's error for some of the reasons why CMD cannot be started; see also {@link Child.started}
   */
  constructor(launch: Launch, env: NodeJS.ProcessEnv) {
    const { file, args, ...options } = launch.spawned(env)
    this.#process = spawn(file, args, options)
    this.started = once(this.#process, 'spawn')
    this.ended = new Promise(resolve => {
      this.#process.once('exit', (exitCode, signal) => resolve({ exitCode, signal } as Ending))
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** Calls `listener` when CMD, once it runs, cannot be sent a signal: for instance since it runs as another user. */
  onFault(listener: (error: Error) => void): void {
    this.#process.on('error', listener)
  }

  /** Does nothing once CMD has ended. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }
}
