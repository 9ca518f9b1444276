import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { ChildCommand, ChildCommands, Reply, Request } from './protocol.js'

const CHILD = join(__dirname, 'child.js')

interface Pending {
  resolve(value: unknown): void
  reject(error: Error): void
}

/** A client of the datastore in a process of its own. */
export class Child {
  readonly #process: ChildProcess
  /** How the process ended. */
  readonly #ended: Promise<string>
  readonly #pending = new Map<number, Pending>()
  #sent = 0
  #stderr = ''

  /** Starts the process, which inherits the environment. */
  constructor() {
    // Not the options of the test runner's own Node: the child imports nothing that would need them.
    this.#process = fork(CHILD, { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#process.on('message', (reply: Reply) => this.#answered(reply))
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    this.#ended = new Promise(resolve => {
      this.#process.once('exit', (code, signal) => resolve(`ended with ${code ?? signal}: ${this.#stderr}`))
      this.#process.on('error', error => resolve(`failed: ${error.message}`))
    })
    void this.#ended.then(how => this.#fail(how))
  }

  /** Has the child do something, and waits for what comes of it. */
  async call<C extends ChildCommand>(command: C, ...args: Parameters<ChildCommands[C]>): Promise<Answer<C>> {
    return await new Promise<Answer<C>>((resolve, reject) => {
      const id = this.#send(command, args)
      this.#pending.set(id, { resolve: value => resolve(value as Answer<C>), reject })
    })
  }

  /** Has the child do something that it is not expected to finish. */
  begin<C extends ChildCommand>(command: C, ...args: Parameters<ChildCommands[C]>): void {
    this.#send(command, args)
  }

  /** Stops the process where it is, as a paused machine does. */
  pause(): void {
    this.#process.kill('SIGSTOP')
  }

  resume(): void {
    this.#process.kill('SIGCONT')
  }

  /** Kills the process, paused or not, with no time for anything. Safe to call twice. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  #send(command: ChildCommand, args: readonly unknown[]): number {
    this.#sent += 1
    const request: Request = { id: this.#sent, command, args }
    this.#process.send(request)
    return request.id
  }

  #answered(reply: Reply): void {
    const pending = this.#pending.get(reply.id)
    this.#pending.delete(reply.id)
    if ('error' in reply) pending?.reject(new Error(`in the child process: ${reply.error}`))
    else pending?.resolve(reply.value)
  }

  #fail(how: string): void {
    for (const { reject } of this.#pending.values()) reject(new Error(`the child process ${how}`))
    this.#pending.clear()
  }
}

type Answer<C extends ChildCommand> = Awaited<ReturnType<ChildCommands[C]>>
