import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('children/singleton.py', import.meta.url))

/** A process in Python that does what celery-singleton does: `children/singleton.py`. */
export class Python implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #lines: AsyncIterator<string>
  readonly #reader: Interface

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.#child = spawn('python3', [SCRIPT, hostname, port], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#exited = once(this.#child, 'exit')
    this.#reader = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
    this.#lines = this.#reader[Symbol.asyncIterator]()
  }

  /** What `apply_async` does before and instead of publishing. */
  async apply(task: string, args: unknown, kwargs: unknown, id: string, expiry?: number) {
    return (await this.#ask({ do: 'apply', task, args, kwargs, id, expiry })) as { lock: string; holder: string }
  }

  /** What a worker does with a message when its task has ended. */
  async finish(task: string, body: string) {
    return (await this.#ask({ do: 'finish', task, body })) as { lock: string; deleted: number }
  }

  /** `repr` of what Python reads in the body of a message. */
  async read(body: string) {
    return ((await this.#ask({ do: 'bodies', body })) as { repr: string }).repr
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reader.close()
    this.#child.stdin?.end()
    await this.#exited
  }

  async #ask(command: Record<string, unknown>): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('python3 ended without an answer')
    return JSON.parse(value)
  }
}
