import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type {
  Answer,
  Backend,
  Claim,
  ClaimId,
  HandedGrant,
  KeptResult,
  LockState,
  Step,
  StoreEvent,
  TriggerStep,
  WatchReply,
} from 'soloist'
import { type SqliteDriver, sqliteBackend } from 'soloist/sqlite'
import { afterAll, afterEach } from 'vitest'
import { type Database, loadDriver } from '../../dist/backends/sqlite/client.js'

/** Every driver this Node.js has: on 20 that is `libsql` alone. */
export const drivers: readonly SqliteDriver[] =
  process.getBuiltinModule('node:sqlite') === undefined ? ['libsql'] : ['node:sqlite', 'libsql']

/** Linux has this folder in memory, where no write waits for a disk that others keep busy. */
const MEMORY_FOLDER = '/dev/shm'

/** A new folder for this test file, in memory where that can be had, removed at its end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(existsSync(MEMORY_FOLDER) ? MEMORY_FOLDER : tmpdir(), 'soloist-sqlite-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A path for a new database in `folder`. */
export function newPath(folder: string): string {
  return join(mkdtempSync(join(folder, 'db-')), 'soloist.db')
}

/** A connection of the test's own to a database. */
export function openRaw(path: string, driver: SqliteDriver): Database {
  return loadDriver(driver)(path)
}

/** How many rows each table has, apart from the one of `soloist_store`. */
export function rowCounts(path: string, driver: SqliteDriver): Record<string, number> {
  const db = openRaw(path, driver)
  const tables = Object.keys(noRows)
  const counts = tables.map(table => [table, db.get(`SELECT count(*) AS n FROM soloist_${table}`)?.n as number])
  db.close()
  return Object.fromEntries(counts)
}

export const noRows = {
  alone: 0,
  shared: 0,
  grant: 0,
  waiting: 0,
  client: 0,
  run: 0,
  note: 0,
  outcome: 0,
  watcher: 0,
}

export function claim(name: string, owner: string, changes: Partial<Claim> = {}): Claim {
  return { name, owner, mode: 'exclusive', limit: null, ttlMs: 60_000, meta: null, ...changes }
}

const clients: Client[] = []
let count = 0

/** One client of a database, closed after the test that opened it. */
export function openClient(
  path: string,
  driver: SqliteDriver,
  options: { prefix?: string; client?: string } = {},
): Client {
  count += 1
  const { prefix, client = `client-${count}` } = options
  const opened = new Client(sqliteBackend(path, { driver, prefix }), client)
  clients.push(opened)
  return opened
}

/** To be called once in a file that uses {@link openClient}. */
export function closeClientsAfterEach(): void {
  afterEach(async () => {
    await Promise.all(clients.splice(0).map(client => client.backend.close()))
  })
}

/** A backend, step by step. */
export class Client {
  readonly backend: Backend
  readonly events: StoreEvent[] = []
  readonly handed: HandedGrant[] = []
  #notify: () => void = () => {}

  constructor(backend: Backend, client: string) {
    this.backend = backend
    backend.open(client, event => {
      this.events.push(event)
      this.#notify()
    })
  }

  /** Resolves with the next event. */
  next(): Promise<StoreEvent> {
    return new Promise(resolve => {
      this.#notify = () => resolve(this.events.at(-1) as StoreEvent)
    })
  }

  acquire(claim: Claim, options: { ticket?: 'new' | number; replaces?: string } = {}): Promise<Answer> {
    const { ticket = null, replaces = null } = options
    return this.#one({ kind: 'acquire', claim, ticket, replaces })
  }

  renew({ name, owner, ttlMs }: Claim): Promise<Answer> {
    return this.#one({ kind: 'renew', name, owner, ttlMs, fence: null })
  }

  release({ name, owner }: ClaimId, result: KeptResult | null = null): Promise<Answer> {
    return this.#one({ kind: 'release', name, owner, result })
  }

  trigger(claim: Claim, options: Partial<TriggerStep> = {}): Promise<Answer> {
    const plain = {
      running: 'meet',
      pending: 'meet',
      note: null,
      begins: false,
      debounce: null,
      without: null,
    } as const
    return this.#one({ kind: 'trigger', claim, ...plain, keepMs: 60_000, ...options })
  }

  begin({ name, owner }: ClaimId): Promise<Answer> {
    return this.#one({ kind: 'begin', name, owner })
  }

  watch(name: string, owner: string): Promise<WatchReply> | undefined {
    return this.backend.results?.watch({ name, owner })
  }

  inspect(name: string): Promise<LockState | null> {
    return this.backend.inspect(name)
  }

  async #one(step: Step): Promise<Answer> {
    const { steps, handed } = await this.backend.run([step])
    this.handed.push(...handed)
    return steps[0] as Answer
  }
}

/** Waits until `condition` holds, at most twenty seconds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come true within twenty seconds')
    await sleep(5)
  }
}

function script(name: string): string {
  return fileURLToPath(new URL(`children/${name}.js`, import.meta.url))
}

/** Runs a script of `children/` to its end. @returns the lines it printed, parsed */
export async function runChild(name: string, ...args: readonly string[]): Promise<unknown[]> {
  const child = spawn(process.execPath, [script(name), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const lines: unknown[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line))
  const [code] = await ended
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
  return lines
}

type Reply = Readonly<Record<string, unknown>>

/** A process that runs `children/remote.js`. */
export class Remote {
  readonly process: ChildProcessWithoutNullStreams
  readonly #waiting = new Map<number, (reply: Reply) => void>()
  #id = 0

  constructor(path: string, driver: SqliteDriver) {
    this.process = spawn(process.execPath, [script('remote'), path, driver])
    this.process.stderr.pipe(process.stderr)
    createInterface({ input: this.process.stdout }).on('line', line => {
      const { id, ...reply } = JSON.parse(line)
      this.#waiting.get(id)?.(reply)
    })
  }

  /** Tells it to do something. A process that ends before it has answered leaves this open. */
  ask(command: string, args: object = {}): Promise<Reply> {
    this.#id += 1
    const reply = new Promise<Reply>(resolve => this.#waiting.set(this.#id, resolve))
    this.process.stdin.write(`${JSON.stringify({ id: this.#id, do: command, ...args })}\n`)
    return reply
  }

  async kill(): Promise<void> {
    const ended = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await ended
  }

  /** Ends the input and waits for it to end by itself. @returns its exit code */
  async end(): Promise<number> {
    const ended = once(this.process, 'exit')
    await this.ask('close')
    this.process.stdin.end()
    const [code] = await ended
    return code
  }
}
