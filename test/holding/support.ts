import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, type Soloist } from 'soloist'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { startRedis } from '../support/redis-server.js'

const SCRIPT = fileURLToPath(new URL('children/holder.js', import.meta.url))

export type Reply = Readonly<Record<string, unknown>>

/** A process of its own that holds locks: `children/holder.js`. */
export class Holder {
  readonly process: ChildProcessWithoutNullStreams
  /** What it said without being asked. */
  readonly events: Reply[] = []
  readonly #waiting = new Map<number, (reply: Reply) => void>()
  readonly #heard = new Map<string, (event: Reply) => void>()
  #id = 0

  constructor(url: string) {
    this.process = spawn(process.execPath, [SCRIPT, url])
    this.process.stderr.pipe(process.stderr)
    createInterface({ input: this.process.stdout }).on('line', line => {
      const { id, ...reply } = JSON.parse(line)
      if (id !== undefined) return this.#waiting.get(id)?.(reply)
      this.events.push(reply)
      this.#heard.get(reply.event)?.(reply)
    })
  }

  /** Tells it to do something. A process that ends before it has answered leaves this open. */
  ask(command: string, args: object = {}): Promise<Reply> {
    this.#id += 1
    const reply = new Promise<Reply>(resolve => this.#waiting.set(this.#id, resolve))
    this.process.stdin.write(`${JSON.stringify({ id: this.#id, command, ...args })}\n`)
    return reply
  }

  /** Resolves with the next event of this kind, or the last there was. */
  async heard(event: string): Promise<Reply> {
    return this.events.findLast(told => told.event === event) ?? (await this.next(event))
  }

  /** Resolves with the next event of this kind. */
  next(event: string): Promise<Reply> {
    return new Promise(resolve => this.#heard.set(event, resolve))
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const ended = once(this.process, 'exit')
    this.process.kill(signal)
    if (signal === 'SIGKILL') await ended
  }
}

export interface Store {
  readonly url: string
  /** A process that works on the store, killed after the test. */
  start(): Holder
  /** A client of this process, closed after the test. */
  client(): Soloist
}

/** The stores that processes can share, each of this file alone. */
export function useStore(kind: 'sqlite' | 'redis'): Store {
  let url = ''
  let stop: () => unknown = () => {}
  const holders: Holder[] = []
  const clients: Soloist[] = []
  beforeAll(async () => {
    if (kind === 'redis') {
      const server = await startRedis()
      url = server.url
      stop = () => server.stop()
    } else {
      const folder = mkdtempSync(join(tmpdir(), 'soloist-holding-'))
      url = `sqlite:${join(folder, 'soloist.db')}`
      stop = () => rmSync(folder, { recursive: true, force: true })
    }
  })
  afterEach(async () => {
    for (const holder of holders.splice(0)) {
      if (holder.process.exitCode === null && holder.process.signalCode === null) await holder.signal('SIGKILL')
    }
    await Promise.all(clients.splice(0).map(client => client.close()))
  })
  afterAll(async () => {
    await stop()
  })
  return {
    get url() {
      return url
    },
    start() {
      const holder = new Holder(url)
      holders.push(holder)
      return holder
    },
    client() {
      const client = connect(url)
      clients.push(client)
      return client
    },
  }
}
