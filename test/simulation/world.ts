import type { Scheduler } from 'fast-check'
import type { Lease, Lock, Soloist, SoloistOptions, Step } from 'soloist'
import { checkHistory, type HistoryRecord } from 'soloist/conformance'
import type { Command, Kind, Schedule } from './commands.js'
import { type Fate, Machine, type Network, PLAIN, type PushFate, SimulatedBackend } from './machine.js'
import { SpecStore } from './spec-store.js'

/** The library under test, or a broken copy of it. */
export interface Library {
  connect(backend: SimulatedBackend, options: SoloistOptions): Soloist
}

/** Something that must not be, in a schedule. */
export class Violated extends Error {
  override readonly name = 'Violated'
}

const PROCESSES = 3
const LIMITS = [
  { mostSteps: 256, callsAtOnce: 2 },
  { mostSteps: 3, callsAtOnce: 1 },
  { mostSteps: 2, callsAtOnce: 3 },
]
/** Within the drift that a lease allows for. */
const SPEEDS = [1, 1.002, 0.998]
const CALL_MS = 5_000
/** By how much a signal may be late where the process runs. */
const SIGNAL_MS = 50
/** Where nothing is lost or late, who waits is told at once; where a lease runs out, within 20 ms by the clock of the store. */
const WAKE_UP_MS = 25
/** Of a lease's length: the time until the next renewal, which may be early or late by a tenth. */
const TOLD_AFTER = 0.5
/** How often a client may be told to send something again. */
const MOST_AGAIN = 8
/** More at once is a loop that nobody ends. */
const MOST_ROUNDS = 5_000

const kinds: Readonly<Record<Kind, { readonly name: string; of(solo: Soloist): Lock }>> = {
  mutex: { name: 'a', of: solo => solo.rwLock('a').write },
  reader: { name: 'a', of: solo => solo.rwLock('a').read },
  permit: { name: 's', of: solo => solo.semaphore('s', 2) },
  whole: { name: 's', of: solo => solo.rwLock('s').write },
}

/** A lease as its class has it, so that looking at it changes nothing. */
type Inner = Lease & { readonly held: boolean; readonly remainingMs: number }

interface Process {
  readonly machine: Machine
  readonly backend: SimulatedBackend
  readonly solo: Soloist
  closing: boolean
  /** How many locks it asked for: clients number their claims. */
  calls: number
}

/** One call for a lock, as its caller sees it. */
interface Call {
  readonly owner: string
  readonly kind: Kind
  readonly process: Process
  readonly controller: AbortController
  readonly retakes: boolean
  /** Whether it keeps its lock for a while although it is released. */
  readonly kept: boolean
  /** Whether the history tells of it. One that was attached has the fence of one before. */
  recorded: boolean
  /** When its lock was taken away by somebody; `Infinity`: it was not. */
  takenMs: number
  readonly ttlMs: number
  state: 'waiting' | 'held' | 'over'
  lease: Inner | null
  fence: number
  /** Until when its lease was proven when it was last looked at, in true time; `-Infinity`: it has none. */
  provenMs: number
}

/** A world of a few processes, a store and a network, which is judged at every moment. */
export class World implements Network {
  nowMs = 1_000
  readonly store: SpecStore = new SpecStore(() => Date.UTC(2026, 0, 1) + Math.floor(this.nowMs))
  readonly records: HistoryRecord[] = []
  grants = 0
  messages = 0
  readonly #library: Library
  readonly #schedule: Schedule
  readonly #scheduler: Scheduler
  readonly #log: ((line: string) => void) | null
  readonly #processes: Process[] = []
  readonly #everybody: Process[] = []
  readonly #late = new Set<{ readonly atMs: number; readonly what: string; readonly run: () => void }>()
  readonly #calls: Call[] = []
  /** Calls whose lease is or may be valid. */
  readonly #leases = new Set<Call>()
  readonly #tokens: { readonly token: string; readonly kind: Kind; readonly owner: string }[] = []
  #fates = 0
  #pushes = 0
  #healed = false
  #disturbed = false
  /** Whether something is kept on purpose that no call stands for. */
  #untraced = false
  #turn = 0

  constructor(library: Library, schedule: Schedule, scheduler: Scheduler, log: ((line: string) => void) | null) {
    this.#library = library
    this.#schedule = schedule
    this.#scheduler = scheduler
    this.#log = log
    for (let i = 0; i < PROCESSES; i++) this.#processes.push(this.#start(i))
  }

  async run(): Promise<void> {
    const { commands, together } = this.#schedule
    for (const [i, command] of commands.entries()) {
      await this.#do(command)
      if ((together >> i) & 1) continue
      await settled()
      this.#judge()
    }
    await this.#settle()
    this.#judgeHistory()
  }

  // What machines and backends need.

  fate(machine: Machine, steps: readonly Step[]): Fate {
    const { fates } = this.#schedule
    let fate = this.#healed ? PLAIN : (fates[this.#fates++ % fates.length] ?? PLAIN)
    // A store that does nothing again and again is none.
    if (fate.step?.what === 'again' && ++machine.toldAgain > MOST_AGAIN) fate = PLAIN
    if (this.#schedule.spares && steps.some(step => machine.failed.has(step))) fate = PLAIN
    if (fate !== PLAIN) for (const step of steps) machine.failed.add(step)
    if (fate !== PLAIN) this.#disturbed = true
    return fate
  }

  pushFate(): PushFate {
    const { pushes } = this.#schedule
    return this.#healed ? { copies: 1, afterMs: 0 } : (pushes[this.#pushes++ % pushes.length] as PushFate)
  }

  send(afterMs: number, what: string, run: () => void): void {
    if (afterMs > 0) {
      this.#late.add({ atMs: this.nowMs + afterMs, what, run })
      return
    }
    this.#ready(what, run)
  }

  tell(): void {
    for (const { client, event } of this.store.pushes.splice(0)) {
      const { copies, afterMs } = this.pushFate()
      if (copies !== 1 || afterMs !== 0) this.#disturbed = true
      const to = this.#everybody.find(({ backend }) => backend.client === client)
      if (to === undefined) continue
      const owner = 'owner' in event ? ` ${event.owner}` : ''
      for (let i = 0; i < copies; i++) {
        this.send(afterMs, `push to ${to.machine.name}`, () => {
          this.note(`hears a push: ${event.type}${owner}`, to.machine.name)
          to.backend.hear(event)
        })
      }
      if (copies === 0) this.note(`a push is lost: ${event.type}${owner}`)
    }
  }

  note(what: string, process = 'store'): void {
    this.#log?.(`${String(Math.round(this.nowMs)).padStart(7)} ms  ${process.padEnd(8)} ${what}`)
  }

  #ready(what: string, run: () => void): void {
    this.messages += 1
    void this.#scheduler.schedule(Promise.resolve(), what).then(run)
  }

  #start(index: number): Process {
    const number = this.#everybody.length
    const machine = new Machine(this, `process${number}`, this.#schedule.skew ? (SPEEDS[number % 3] as number) : 1)
    const backend = new SimulatedBackend(this, machine, LIMITS[index % 3] as (typeof LIMITS)[number])
    const solo = this.#library.connect(backend, { clock: machine, random: () => 0.5, callTimeoutMs: CALL_MS })
    const process = { machine, backend, solo, closing: false, calls: 0 }
    this.#everybody.push(process)
    solo.on('waiting', ({ owner }) => {
      const call = this.#calls.find(call => call.process === process && call.owner === owner)
      if (call?.state === 'waiting') this.#record({ event: 'queued' }, call)
    })
    // What fails where nobody is told is an event, and is expected here.
    solo.on('fault', ({ error }) => this.note(`fault: ${error}`, machine.name))
    return process
  }

  async #do(command: Command): Promise<void> {
    const process = 'process' in command ? (this.#processes[command.process] as Process) : null
    switch (command.do) {
      case 'lock':
        return this.#call(process as Process, command)
      case 'release':
        return this.#release(this.#pick('held', command.which))
      case 'renew':
        return this.#renew(this.#pick('held', command.which))
      case 'abort':
        return this.#abort(this.#pick('waiting', command.which))
      case 'unlock':
        return this.#unlock(this.#pick('held', command.which))
      case 'detach':
        return this.#detach(this.#pick('held', command.which))
      case 'attach':
        return this.#attach(process as Process, command.which)
      case 'crash':
        return this.#crash(command.process)
      case 'close':
        return this.#close(command.process, command.drainMs)
      case 'stop':
        this.#disturbed = true
        this.note(`stands still for ${command.ms} ms`, process?.machine.name)
        return command.sleeps ? process?.machine.sleep(command.ms) : process?.machine.stop(command.ms)
      case 'set':
        this.#disturbed = true
        this.note(`its wall clock is set by ${command.ms} ms`, process?.machine.name)
        return process?.machine.setWall(command.ms)
      case 'gap':
        this.note('hears of a gap', process?.machine.name)
        return process?.backend.hear({ type: 'gap' })
      case 'deliver':
        return await this.#deliver(command.count)
      case 'pass':
        return await this.#pass(command.ms)
    }
  }

  /** Some of what is on its way arrives, in an order that the scheduler picks. */
  async #deliver(count: number): Promise<void> {
    for (let i = 0; i < count && this.#scheduler.count() > 0; i++) {
      if (i > MOST_ROUNDS) throw new Violated(`more than ${MOST_ROUNDS} messages travelled without time passing`)
      await this.#scheduler.waitNext(1)
      await settled()
      this.#judge()
    }
  }

  /** Time goes from one thing that happens to the next. */
  async #pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    await settled()
    for (let rounds = 0; ; rounds++) {
      if (rounds > MOST_ROUNDS) throw new Violated(`more than ${MOST_ROUNDS} things happened within ${ms} ms`)
      await this.#deliver(Infinity)
      let nextMs = untilMs
      for (const { atMs } of this.#late) nextMs = Math.min(nextMs, atMs)
      for (const { machine } of this.#everybody) nextMs = Math.min(nextMs, machine.nextDueMs)
      this.nowMs = Math.max(this.nowMs, nextMs)
      let happened = false
      for (const message of this.#late) {
        if (message.atMs > this.nowMs) continue
        this.#late.delete(message)
        this.#ready(message.what, message.run)
        happened = true
      }
      for (const { machine } of this.#everybody) {
        this.#turn += 1
        if (machine.nextDueMs > this.nowMs || !machine.runDue(this.#turn % 2 === 0)) continue
        happened = true
        await settled()
        this.#judge()
      }
      if (happened || this.nowMs < untilMs) continue
      this.#judge()
      return this.#judgeOwners()
    }
  }

  #call(process: Process, command: Command & { readonly do: 'lock' }): void {
    if (process.closing || !process.machine.running) return
    const { kind, ttlMs, waitMs, holdForMs, retakes } = command
    // A lock that is left to run out is found free by the next beat, and not sooner.
    if (holdForMs > 0) this.#disturbed = this.#untraced = true
    const controller = new AbortController()
    process.calls += 1
    const owner = `${process.solo.clientId}/${process.calls}`
    const fields = {
      kept: holdForMs > 0,
      takenMs: Infinity,
      ttlMs,
      recorded: true,
      state: 'waiting',
      lease: null,
      fence: 0,
      provenMs: -Infinity,
    } as const
    const call: Call = { owner, kind, process, controller, retakes, ...fields }
    this.#calls.push(call)
    const options = { ttlMs, holdForMs, signal: controller.signal, ...(retakes ? { onLost: 'retake' as const } : {}) }
    const lock = kinds[kind].of(process.solo)
    this.note(
      `asks for ${kind} as ${owner}, ttl ${ttlMs}, ${waitMs === null ? 'if free' : `up to ${waitMs} ms`}`,
      process.machine.name,
    )
    this.#record({ event: 'invoke', ...this.#shape(call), ttlMs: Math.max(ttlMs, holdForMs) }, call)
    const lease = waitMs === null ? lock.tryLock(options) : lock.lock({ ...options, waitMs })
    lease.then(
      lease => this.#granted(call, lease as Inner | null),
      (error: unknown) => this.#refused(call, error),
    )
  }

  #granted(call: Call, lease: Inner | null): void {
    call.state = lease === null ? 'over' : 'held'
    if (lease === null) return this.#record({ event: 'refused', busy: true }, call)
    call.lease = lease
    call.fence = lease.fence
    this.grants += 1
    this.#leases.add(call)
    this.note(`holds it as ${call.owner} with fence ${lease.fence}`, call.process.machine.name)
    if (!call.process.machine.dead && !(lease.held && lease.remainingMs > 0)) {
      if (!call.process.closing) throw new Violated(`${call.owner} was granted a lease that has run out`)
    }
    this.#record({ event: 'granted', fence: lease.fence, untilMs: this.#provenMs(call) }, call)
    call.provenMs = this.#provenMs(call)
  }

  #refused(call: Call, error: unknown): void {
    call.state = 'over'
    this.note(`ends without a lease: ${call.owner}: ${error}`, call.process.machine.name)
    this.#assertOurs(error)
    if (!this.#disturbed && (error as { code?: string }).code === 'BACKEND_UNAVAILABLE') {
      throw new Violated(`${call.owner} was refused by a store that answered everything: ${error}`)
    }
    this.#record({ event: 'refused', busy: false }, call)
  }

  #release(call: Call | undefined): void {
    if (call?.state !== 'held' || !call.process.machine.running) return
    const lease = call.lease as Inner
    const valid = lease.held && lease.remainingMs > 0
    this.note(`gives up ${call.owner}`, call.process.machine.name)
    if (valid) this.#record({ event: 'released' }, call)
    else this.#lost(call)
    this.#over(call)
    lease.release().then(
      () => valid && !call.kept && this.#record({ event: 'returned', held: null }, call),
      (error: unknown) => this.#assertCode(error, ['BACKEND_UNAVAILABLE', 'CLOSED']),
    )
  }

  #renew(call: Call | undefined): void {
    if (call?.state !== 'held' || !call.process.machine.running) return
    this.note(`renews ${call.owner}`, call.process.machine.name)
    const codes = ['BACKEND_UNAVAILABLE', 'CLOSED', 'LEASE_LOST']
    call.lease?.renew().catch((error: unknown) => this.#assertCode(error, codes))
  }

  #abort(call: Call | undefined): void {
    if (call === undefined || !call.process.machine.running) return
    this.note(`gives up waiting as ${call.owner}`, call.process.machine.name)
    call.controller.abort()
  }

  /** Somebody takes the lock away. Its holder learns so with its next renewal. */
  #unlock(call: Call | undefined): void {
    if (call?.state !== 'held' || !call.recorded || call.takenMs !== Infinity) return
    const { kind, owner } = call
    this.note(`is told to release ${owner} by an operator`)
    this.#lost(call)
    call.recorded = false
    call.takenMs = this.nowMs
    this.store.run('operator', [{ kind: 'release', name: kinds[kind].name, owner, result: null }])
    this.tell()
  }

  #detach(call: Call | undefined): void {
    if (call?.state !== 'held' || !call.process.machine.running) return
    // What somebody else does with it later is no part of the history.
    this.#disturbed = this.#untraced = true
    this.note(`hands on ${call.owner}`, call.process.machine.name)
    const { lease, kind, owner } = call
    lease?.detach().then(
      token => {
        this.#lost(call)
        this.#over(call)
        this.#tokens.push({ token, kind, owner })
      },
      (error: unknown) => this.#assertCode(error, ['BACKEND_UNAVAILABLE', 'CLOSED', 'LEASE_LOST']),
    )
  }

  #attach(process: Process, which: number): void {
    const [holding] = this.#tokens.splice(which % Math.max(this.#tokens.length, 1), 1)
    if (holding === undefined || process.closing || !process.machine.running) return
    const { token, kind, owner } = holding
    this.note(`attaches ${owner}`, process.machine.name)
    const fields = {
      kept: true,
      takenMs: Infinity,
      ttlMs: 4_000,
      retakes: false,
      recorded: false,
      state: 'waiting',
      lease: null,
      fence: 0,
      provenMs: -Infinity,
    } as const
    const call: Call = { owner, kind, process, controller: new AbortController(), ...fields }
    this.#calls.push(call)
    process.solo.attach(token).then(
      lease => {
        call.lease = lease as Inner
        call.fence = lease.fence
        call.state = 'held'
        this.#leases.add(call)
      },
      (error: unknown) => {
        call.state = 'over'
        this.#assertOurs(error)
      },
    )
  }

  /** The process is gone. What it holds counts for as long as it would have. */
  #crash(index: number): void {
    const { machine } = this.#processes[index] as Process
    this.note('dies', machine.name)
    this.#disturbed = true
    machine.kill()
    this.records.push({ event: 'ended', process: machine.name, atMs: this.nowMs })
    for (const call of this.#calls)
      if (call.process.machine === machine && call.state === 'waiting') call.state = 'over'
    this.#processes[index] = this.#start(index)
  }

  #close(index: number, drainMs: number): void {
    const process = this.#processes[index] as Process
    if (process.closing || !process.machine.running) return
    this.note(`is closed, with ${drainMs} ms to drain`, process.machine.name)
    process.closing = true
    // Nothing more is known of what it gives back.
    this.#disturbed = true
    void process.solo.close({ drainMs }).catch((error: unknown) => this.#assertCode(error, ['BACKEND_UNAVAILABLE']))
    this.#processes[index] = this.#start(index)
  }

  /** What must hold at every moment. */
  #judge(): void {
    for (const call of this.#leases) {
      const { process, owner, kind } = call
      const { machine } = process
      const lease = call.lease as Inner
      const valid = lease.held && lease.remainingMs > 0
      if (!valid && !this.#disturbed && call.state === 'held' && call.takenMs === Infinity) {
        throw new Violated(`${owner} lost its lease, and nothing was wrong`)
      }
      if (valid && !this.#disturbed && this.nowMs > call.takenMs + call.ttlMs * TOLD_AFTER + 2) {
        throw new Violated(`${owner} has not learned that its lock was taken away ${this.nowMs - call.takenMs} ms ago`)
      }
      if (!valid) {
        if (machine.dead || !lease.held) {
          if (!lease.held && (!call.retakes || lease.signal.aborted)) this.#lost(call)
          if (machine.dead || !call.retakes || lease.signal.aborted) this.#over(call)
        } else if (
          machine.timely &&
          machine.runningForMs > SIGNAL_MS &&
          lease.remainingMs < -SIGNAL_MS &&
          !call.retakes
        ) {
          throw new Violated(`the signal of ${owner} did not fire, ${-lease.remainingMs} ms after its lease was over`)
        }
        continue
      }
      if (call.takenMs !== Infinity) continue
      const { name } = kinds[kind]
      const holder = this.store.holders(name).find(one => one.owner === owner)
      if (holder === undefined) {
        const holders = this.store.holders(name).map(one => one.owner)
        throw new Violated(`${owner} counts on ${name}, which is held by ${holders.join(', ') || 'nobody'}`)
      }
      if (holder.fence !== lease.fence) {
        throw new Violated(`${owner} holds ${name} with fence ${holder.fence}, and was told ${lease.fence}`)
      }
      if (lease.fence < call.fence) throw new Violated(`the fence of ${owner} fell from ${call.fence}`)
      const provenMs = this.#provenMs(call)
      if (lease.fence !== call.fence) {
        // Taken again: to the history it is another grant.
        this.#lost(call)
        this.#record({ event: 'invoke', ...this.#shape(call), ttlMs: 10_000 }, call, call.provenMs)
        this.#record({ event: 'granted', fence: lease.fence, untilMs: provenMs }, call)
        call.fence = lease.fence
      } else if (provenMs > call.provenMs + 1 && !machine.dead) {
        this.#record({ event: 'renewed', untilMs: provenMs }, call)
      }
      call.provenMs = provenMs
    }
  }

  /** Where no answer is missing, nobody holds or waits that nobody knows of. */
  #judgeOwners(): void {
    if (this.#schedule.spares ? this.#untraced : this.#disturbed) return
    const known = new Set(this.#calls.filter(({ state }) => state !== 'over').map(({ owner }) => owner))
    for (const name of ['a', 's']) {
      for (const owner of [...this.store.holders(name).map(({ owner }) => owner), ...this.store.waiters(name)]) {
        if (!known.has(owner)) throw new Violated(`${owner} holds or waits for ${name}, and nobody knows of it`)
      }
    }
  }

  /** Until when the process counts on its lease, in true time. */
  #provenMs({ lease, process }: Call): number {
    return this.nowMs + process.machine.trueMs((lease as Inner).remainingMs)
  }

  #lost(call: Call): void {
    if (call.state !== 'held') return
    this.#record({ event: 'lost' }, call, Math.min(this.nowMs, call.provenMs))
  }

  #over(call: Call): void {
    this.#leases.delete(call)
    if (call.state === 'held') call.state = 'over'
  }

  /** Everything works again, and everybody lets go: each call must end, and nothing stay behind. */
  async #settle(): Promise<void> {
    this.note('all works again', 'world')
    this.#healed = true
    for (let i = 0; i < 60 && this.#calls.some(({ state }) => state !== 'over'); i++) {
      for (const call of this.#calls) this.#release(call)
      for (const call of this.#leases) if (call.process.closing) this.#over(call)
      await this.#pass(500)
    }
    const left = this.#calls.filter(({ state }) => state !== 'over').map(({ owner, state }) => `${owner} (${state})`)
    if (left.length > 0) throw new Violated(`these calls did not end: ${left.join(', ')}`)
    await this.#pass(20_000)
    for (const name of this.store.inUse()) this.store.look(name)
    const inUse = this.store.inUse().map(name => {
      const holders = this.store.holders(name).map(({ owner }) => owner)
      return `${name}, held by ${holders}, waited for by ${this.store.waiters(name)}`
    })
    if (inUse.length > 0) throw new Violated(`these locks are in use by nobody: ${inUse.join('; ')}`)
    const closed = { count: 0 }
    for (const { solo, machine, closing } of this.#everybody) {
      if (machine.dead) closed.count += 1
      else if (closing)
        void solo.close().then(
          () => (closed.count += 1),
          () => (closed.count += 1),
        )
      else void solo.close().then(() => (closed.count += 1))
    }
    await this.#pass(CALL_MS * 3)
    if (closed.count !== this.#everybody.length) throw new Violated('close() did not end')
    for (const { machine } of this.#everybody) {
      if (machine.timers.size > 0) throw new Violated(`${machine.name} has ${machine.timers.size} timers after close()`)
    }
  }

  /** What the processes saw, judged as the history of any other run. */
  #judgeHistory(): void {
    const disturbance = { event: 'fault', kind: 'any', atMs: 0, untilMs: this.nowMs, hits: 1 } as const
    const records = this.#disturbed ? [...this.records, disturbance] : this.records
    const { violations } = checkHistory(records, {
      budget: 20_000,
      ...(this.#disturbed ? {} : { wakeUpMs: WAKE_UP_MS }),
    })
    if (violations.length > 0)
      throw new Violated(violations.map(({ kind, message }) => `${kind}: ${message}`).join('; '))
  }

  #shape({ kind, process }: Call): Pick<HistoryRecord & { event: 'invoke' }, 'mode' | 'limit' | 'process'> {
    const mode = kind === 'mutex' || kind === 'whole' ? 'exclusive' : 'shared'
    return { mode, limit: kind === 'permit' ? 2 : null, process: process.machine.name }
  }

  #record(record: object, { owner, kind, process, recorded }: Call, atMs: number = this.nowMs): void {
    if (process.machine.dead || !recorded) return
    this.records.push({ ...record, name: kinds[kind].name, owner, atMs } as HistoryRecord)
  }

  #pick(state: Call['state'], which: number): Call | undefined {
    const calls = this.#calls.filter(call => call.state === state)
    return calls[which % Math.max(calls.length, 1)]
  }

  #assertOurs(error: unknown): void {
    const name = (error as Error | null)?.name
    if (name !== 'SoloistError' && name !== 'LockTimeoutError') throw new Violated(`rejected with ${error}`)
  }

  #assertCode(error: unknown, codes: readonly string[]): void {
    const { code } = error as { code?: string }
    if (!codes.includes(String(code))) throw new Violated(`rejected with ${error}`)
  }
}

/** Resolves when all is done that can be done without anything from outside. */
function settled(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
