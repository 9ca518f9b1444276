import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

/** One process, and the lines it has said that nobody has read yet. */
interface Member {
  readonly child: ChildProcessByStdio<Writable, Readable, null>
  readonly lines: AsyncIterator<string>
}

/**
 * Processes that all do the same at once. The script answers each line of its input with one line of JSON, and says one line
 * of its own when it is ready.
 */
export class Crowd implements AsyncDisposable {
  readonly #members: readonly Member[]

  private constructor(members: readonly Member[]) {
    this.#members = members
  }

  static async start(script: string, args: readonly string[], count: number): Promise<Crowd> {
    const members = Array.from({ length: count }, () => {
      const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
    })
    const crowd = new Crowd(members)
    await crowd.#answers()
    return crowd
  }

  /** Tells all of them the same, and resolves with what each answers. */
  async ask<T>(command: string, ...args: readonly unknown[]): Promise<readonly T[]> {
    for (const { child } of this.#members) child.stdin.write(`${JSON.stringify([command, ...args])}\n`)
    return (await this.#answers()).map(line => JSON.parse(line))
  }

  /** Sends one of them a signal. */
  signal(index: number, signal: NodeJS.Signals): void {
    this.#members[index]?.child.kill(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#members.map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }),
    )
  }

  async #answers(): Promise<readonly string[]> {
    return await Promise.all(
      this.#members.map(async ({ child, lines }) => {
        const { value, done } = await lines.next()
        if (done) throw new Error(`process ${child.pid} ended`)
        return value
      }),
    )
  }
}
