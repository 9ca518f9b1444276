import { type ChildProcess, fork, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, openSync, readdirSync, statSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import Database from 'libsql'
import { connect } from 'soloist'
import { checkHistoryParts, type HistoryReport } from 'soloist/conformance'
import { isBusy } from '../../dist/backends/sqlite/client.js'
import { type RedisProxy, startProxy } from '../support/proxy.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { historyParts, wholeHistory } from './history-parts.js'
import type { Plan, PlannedFault } from './plan.js'
import { timeline } from './timeline.js'
import { startTopology, type Topology } from './topologies.js'

const CLIENT = fileURLToPath(new URL('./children/client.js', import.meta.url))
const LEFT = new URL('./children/left.js', import.meta.url).href
/** After a connection was disturbed its client may take so long to hear of everything again. */
const RECOVERY_MS = 3_000
/** How long a free lock may stay unnoticed by who waits: a beat, and the lease of a grant to somebody dead. */
const WAKE_UP_MS = 8_000
/** A longer history is not drawn. */
const LONGEST_SHOWN_BYTES = 16 * 1024 * 1024
/** How long a fault may take to show that it is there. */
const LONGEST_MS = 10_000
/** How long what the killed left in a database may take to be gone: until they count as silent, and what is granted to them ends. */
const GONE_MS = 30_000
/** How often it is told how far a run is. */
const TOLD_EVERY_MS = 30_000

export interface Ran {
  readonly report: HistoryReport
  /** What was there when all clients were closed and should not have been: timers, sockets, listeners, keys without expiry. */
  readonly left: readonly string[]
  /** The version of the store. */
  readonly version: string
  readonly folder: string
}

const now = () => Number(process.hrtime.bigint()) / 1e6

interface Client {
  readonly label: string
  readonly process: ChildProcess
  readonly ended: Promise<void>
}

/**
 * A run as its plan says, in a folder that holds everything that is needed to judge it again.
 *
 * @param tell is told how far it is
 */
export async function run(plan: Plan, folder: string, tell: (line: string) => void = () => {}): Promise<Ran> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'plan.json'), JSON.stringify(plan, null, 2))
  const chaos = await Chaos.start(plan, folder)
  let [left, version]: [readonly string[], string] = [[], '']
  const startMs = now()
  const telling = setInterval(() => {
    const [seconds, all] = [now() - startMs, plan.forMs].map(ms => Math.round(ms / 1_000))
    tell(`${seconds} of ${all} s, ${chaos.made} of ${plan.faults.length} faults, ${megabytesOf(folder)} MB of history`)
  }, TOLD_EVERY_MS)
  try {
    await chaos.run()
    left = await chaos.left()
    version = await chaos.version()
  } finally {
    clearInterval(telling)
    await chaos.end()
  }
  tell('is being judged')
  return { report: await judge(folder), left, version, folder }
}

function megabytesOf(folder: string): number {
  const sizes = readdirSync(folder).map(file => (file.endsWith('.jsonl') ? statSync(join(folder, file)).size : 0))
  return Math.round(sizes.reduce((sum, size) => sum + size, 0) / 1e6)
}

/** Judges a run again by what its folder holds. */
export async function judge(folder: string): Promise<HistoryReport> {
  const plan: Plan = JSON.parse(await readFile(join(folder, 'plan.json'), 'utf8'))
  const seconds = plan.forMs / 1_000
  // A busy machine does less.
  const atLeast = { granted: seconds * 3, contended: seconds / 2, runs: seconds / 2, faults: plan.faults.length }
  const report = checkHistoryParts(historyParts(folder), { wakeUpMs: WAKE_UP_MS, atLeast })
  const history = wholeHistory(folder, LONGEST_SHOWN_BYTES)
  if (history !== null) await writeFile(join(folder, 'timeline.html'), timeline(plan, history, report))
  return report
}

class Chaos {
  readonly #plan: Plan
  readonly #folder: string
  readonly #url: string
  readonly #server: RedisServer | null
  readonly #proxy: RedisProxy | null
  /** Where the store is several servers. */
  readonly #topology: Topology | null
  readonly #clients: Client[] = []
  /** The processes that are or were ended by a fault. */
  readonly #killed = new Set<ChildProcess>()
  #admin: Redis | null = null
  /** What clients left behind in their processes. */
  readonly #left: string[] = []
  /** The processes that ended without being told to, or otherwise than they should. */
  readonly #crashed: string[] = []
  /** How many faults were made. */
  made = 0
  #started = 0
  #restarted: Promise<void> = Promise.resolve()

  private constructor(
    plan: Plan,
    folder: string,
    url: string,
    server: RedisServer | null,
    proxy: RedisProxy | null,
    topology: Topology | null = null,
  ) {
    this.#plan = plan
    this.#folder = folder
    this.#url = url
    this.#server = server
    this.#proxy = proxy
    this.#topology = topology
  }

  static async start(plan: Plan, folder: string): Promise<Chaos> {
    if (plan.store === 'sqlite') return new Chaos(plan, folder, `sqlite:${join(folder, 'locks.db')}`, null, null)
    if (plan.store === 'redis-cluster' || plan.store === 'redis-sentinel') {
      const topology = await startTopology(plan.store)
      return new Chaos(plan, folder, topology.url, null, null, topology)
    }
    const keeps = ['--appendonly', 'yes', '--appendfsync', 'always']
    const log = ['--logfile', join(folder, 'redis.log')]
    const server = await startRedis({ args: plan.store === 'redis' ? [...keeps, ...log] : log })
    const proxy = await startProxy(server.port)
    return new Chaos(plan, folder, proxy.url, server, proxy)
  }

  async run(): Promise<void> {
    const { processes, faults, forMs } = this.#plan
    await Promise.all(Array.from({ length: processes }, (_, i) => this.#spawn(i)))
    const startMs = now()
    const left: Promise<void>[] = []
    for (const fault of faults) {
      await sleep(Math.max(startMs + fault.atMs - now(), 0))
      const made = this.#make(fault)
      left.push(made)
      // It is awaited later.
      void Promise.allSettled([made])
    }
    try {
      await Promise.all(left)
    } catch (error) {
      // A fault for a process that has ended by itself.
      this.#checkCrashes(error)
      throw error
    }
    await sleep(Math.max(startMs + forMs - now(), 0))
    const exits = this.#clients.map(async ({ process, label, ended }) => {
      if (process.connected) process.send('end')
      if ((await Promise.race([ended, sleep(30_000, 'late')])) === 'late') this.#crashed.push(`${label} still runs`)
    })
    await Promise.all(exits)
    this.#checkCrashes()
  }

  /** A process ends by itself by a rejection that nobody handles. */
  #checkCrashes(cause?: unknown): void {
    if (this.#crashed.length > 0) throw new Error(`${this.#crashed.join(', ')}: see their logs`, { cause })
  }

  /** What is there of clients that were closed. */
  async left(): Promise<readonly string[]> {
    const keys = await Promise.all((await this.#servers()).map(admin => keysForEver(admin)))
    const left = [...this.#left, ...keys.flat().map(key => `the key ${key}, which does not expire`)]
    return this.#server === null && this.#topology === null ? [...left, ...(await this.#inUse())] : left
  }

  /** Of the store. */
  async version(): Promise<string> {
    const [admin] = await this.#servers()
    if (admin !== undefined) return `Redis ${/redis_version:(\S+)/.exec(await admin.info('server'))?.[1]}`
    const database = new Database(':memory:')
    try {
      const row = database.prepare('SELECT sqlite_version() AS version').get() as { readonly version: string }
      return `SQLite ${row.version}`
    } finally {
      database.close()
    }
  }

  async #servers(): Promise<readonly Redis[]> {
    if (this.#topology !== null) return this.#topology.admins
    if (this.#server === null) return []
    this.#admin ??= new Redis(this.#server.port, this.#server.host, { maxRetriesPerRequest: null })
    return [this.#admin]
  }

  /** The locks of a database that stay in use. */
  async #inUse(): Promise<readonly string[]> {
    await using solo = connect(this.#url)
    for (const untilMs = now() + GONE_MS; ; await sleep(500)) {
      const inUse: string[] = []
      for await (const { name } of solo.list()) inUse.push(`the lock ${name}, which stays in use`)
      if (inUse.length === 0 || now() > untilMs) return inUse
    }
  }

  async end(): Promise<void> {
    for (const { process } of this.#clients) process.kill('SIGKILL')
    this.#admin?.disconnect()
    this.#proxy?.heal()
    await this.#proxy?.close()
    await this.#server?.stop()
    await this.#topology?.stop()
  }

  async #spawn(place: number): Promise<void> {
    const number = this.#started++
    const label = `process ${number}`
    const { seed, ttlMs, load } = this.#plan
    const log = join(this.#folder, String(number).padStart(4, '0'))
    // The whole seconds of a server's uptime, and a ttl on top.
    const options = this.#plan.store === 'redis-guarded' ? { restartGuardMs: ttlMs } : {}
    const argument = JSON.stringify({ url: this.#url, label, seed: seed + number, ttlMs, log, load, options })
    const errors = openSync(join(this.#folder, `${number}.log`), 'a')
    const stdio: StdioOptions = ['ignore', errors, errors, 'ipc']
    const process = fork(CLIENT, [argument], { execArgv: ['--import', LEFT], stdio })
    let told: readonly string[] | null = null
    const ready = new Promise<void>(resolve => {
      process.on('message', (message: 'ready' | { readonly left: readonly string[] }) => {
        if (message === 'ready') resolve()
        else told = message.left
      })
    })
    const ended = once(process, 'exit').then(([code, signal]) => {
      if (this.#killed.has(process)) return
      if (code !== 0 || told === null) this.#crashed.push(`${label} ended with ${signal ?? code}`)
      else this.#left.push(...told.map(what => `in ${label}: ${what}`))
    })
    this.#clients[place] = { label, process, ended }
    await Promise.race([ready, ended])
  }

  async #make(fault: PlannedFault): Promise<void> {
    const { kind, forMs } = fault
    const client = this.#clients[fault.process] as Client
    const atMs = now()
    const topology = this.#topology
    if (topology !== null && (kind === 'move-slot' || kind === 'failover' || kind === 'restart')) {
      const { hits, ...more } = await topology.make(kind, forMs / 4)
      return this.#fault(fault, atMs, hits, more)
    }
    switch (kind) {
      case 'kill': {
        this.#write({ event: 'ended', process: client.label, atMs })
        this.#killed.add(client.process)
        client.process.kill('SIGKILL')
        await client.ended
        const hits = client.process.signalCode === 'SIGKILL' ? 1 : 0
        await this.#spawn(fault.process)
        // The one in its place does not hear all from the start.
        const processes = [client, this.#clients[fault.process] as Client].map(({ label }) => label)
        return this.#fault(fault, atMs, hits, { processes })
      }
      case 'stop': {
        client.process.kill('SIGSTOP')
        let hits = 0
        const untilMs = atMs + forMs
        // One that waits for its disk stops when that is done.
        do {
          await sleep(Math.max(Math.min(untilMs - now(), 200), 20))
          hits += await isStopped(client.process.pid)
        } while (now() < untilMs || (hits === 0 && now() < untilMs + LONGEST_MS))
        client.process.kill('SIGCONT')
        return this.#fault(fault, atMs, hits, { processes: [client.label] })
      }
      case 'writer': {
        const database = new Database(join(this.#folder, 'locks.db'), { timeout: 0 })
        try {
          const heldMs = await began(database)
          await sleep(forMs)
          database.exec('COMMIT')
          return this.#fault(fault, heldMs, 1, {})
        } finally {
          database.close()
        }
      }
      case 'restart': {
        // One after the other, where a busy machine takes longer than until the next.
        this.#restarted = this.#restarted.then(() => this.#restart(forMs / 4))
        await this.#restarted
        return this.#fault(fault, atMs, 1, this.#plan.store === 'redis-volatile' ? { loses: true } : {})
      }
      default:
        return await this.#network(fault, this.#proxy as RedisProxy, atMs)
    }
  }

  async #restart(downMs: number): Promise<void> {
    await this.#server?.kill()
    await sleep(downMs)
    await this.#server?.restart()
  }

  async #network(fault: PlannedFault, proxy: RedisProxy, atMs: number): Promise<void> {
    const { kind, forMs } = fault
    // While the server is down nobody may be connected.
    while (proxy.connections === 0 && now() < atMs + LONGEST_MS) await sleep(20)
    const { connections, held, slowed } = proxy
    let hits = connections
    if (kind === 'cut') proxy.resetAll()
    if (kind === 'cut-pushes') await proxy.cutPushesBehind()
    if (kind === 'half-open') proxy.silence('commands')
    if (kind === 'blackhole') {
      proxy.blackhole()
      await sleep(forMs)
      hits = proxy.held - held
      proxy.heal()
    }
    if (kind === 'delay') {
      proxy.delayReplies(Math.round(forMs / 3))
      // Where nothing is answered, since connections are silent or the server is down, nothing is late either.
      do {
        await sleep(forMs)
        hits = proxy.slowed - slowed
      } while (hits === 0 && now() < atMs + LONGEST_MS)
      proxy.delayReplies(0)
    }
    this.#fault(fault, atMs, hits, {}, RECOVERY_MS)
  }

  #fault({ kind }: PlannedFault, atMs: number, hits: number, more: object, longerMs = RECOVERY_MS): void {
    this.made += 1
    this.#write({ event: 'fault', kind, atMs, untilMs: now() + longerMs, hits, ...more })
  }

  #write(record: object): void {
    appendFileSync(join(this.#folder, 'faults.jsonl'), `${JSON.stringify(record)}\n`)
  }
}

/**
 * Begins to write, when nobody else does. It is not SQLite that waits, since this process has others to wake meanwhile, among
 * them one that was stopped in the midst of its own writing.
 *
 * @returns since when
 */
async function began(database: Database.Database): Promise<number> {
  for (const untilMs = now() + 6 * LONGEST_MS; ; await sleep(1)) {
    try {
      database.exec('BEGIN IMMEDIATE')
      return now()
    } catch (error) {
      if (!isBusy(error) || now() > untilMs) throw error
    }
  }
}

/** All keys that this server has for ever. */
async function keysForEver(redis: Redis): Promise<readonly string[]> {
  const found: string[] = []
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'COUNT', 1_000)
    const lives = await Promise.all(keys.map(key => redis.pttl(key)))
    found.push(...keys.filter((_, i) => lives[i] === -1))
    cursor = next
  } while (cursor !== '0')
  return found
}

/** Whether the kernel says that this process is stopped. */
async function isStopped(pid: number | undefined): Promise<number> {
  if (process.platform !== 'linux') return 1
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return /^\d+ \(.*\) [Tt] /.test(stat) ? 1 : 0
}

/** Keeps what a failure is to be looked at by. */
export async function keep(folder: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  // Not the database, whose files come and go.
  const files = (await readdir(folder)).filter(file => !file.startsWith('locks.db'))
  for (const file of files) await copyFile(join(folder, file), join(to, file))
}
