import type { Soloist, SoloistOptions, Step } from 'soloist'
import { randomOf } from '../chaos/plan.js'
import type { Happening } from './commands.js'
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
export const CALL_MS = 5_000
/** By how much a signal may be late where the process runs. */
export const SIGNAL_MS = 50
/** How often a client may be told to send something again. */
const MOST_AGAIN = 8
/** More at once is a loop that nobody ends. */
const MOST_ROUNDS = 5_000

/** What every run is made of: what becomes of the messages, and how the clocks go. */
export interface StageSchedule {
  /** What becomes of each call, and of each push, in turn. */
  readonly fates: readonly Fate[]
  readonly pushes: readonly PushFate[]
  /** Whether the clocks of the processes go at different speeds. */
  readonly skew: boolean
  /** In which order messages arrive: the seed of a sequence. */
  readonly order: number
  /** Whether what met with a fault once is spared when it is sent again. */
  readonly spares: boolean
}

export interface StageProcess {
  readonly machine: Machine
  readonly backend: SimulatedBackend
  readonly solo: Soloist
  closing: boolean
}

/** A few processes, a store and a network, at which every moment is judged. What the processes do is another's. */
export abstract class Stage<S extends StageSchedule, P extends StageProcess> implements Network {
  nowMs = 1_000
  readonly store: SpecStore = new SpecStore(() => Date.UTC(2026, 0, 1) + Math.floor(this.nowMs))
  messages = 0
  protected readonly library: Library
  protected readonly schedule: S
  protected readonly log: ((line: string) => void) | null
  /** Those that run. */
  protected readonly processes: P[] = []
  /** Those that ran before, too. */
  protected readonly everybody: P[] = []
  /** Whether no message is lost or late any more. */
  protected healed = false
  /** Whether anything went wrong so far. */
  protected disturbed = false
  /** What is on its way and may arrive. */
  readonly #travelling: (() => void)[] = []
  readonly #random: () => number
  readonly #late = new Set<{ readonly atMs: number; readonly run: () => void }>()
  #fates = 0
  #pushes = 0
  #turn = 0

  constructor(library: Library, schedule: S, log: ((line: string) => void) | null) {
    this.library = library
    this.schedule = schedule
    this.#random = randomOf(schedule.order)
    this.log = log
  }

  /** Starts the processes. */
  protected open(): void {
    for (let i = 0; i < PROCESSES; i++) this.processes.push(this.start(i))
  }

  /** What must hold at every moment. */
  protected abstract judge(): void

  /** What must hold when nothing is on its way. */
  protected abstract judgeAtRest(): void

  /** A process has started. */
  protected abstract started(process: StageProcess): P

  /** Whether this call is spared, since it met with a fault before. @param _what what is asked, for what is no step */
  protected spared(machine: Machine, steps: readonly Step[], _what: string): boolean {
    return steps.some(step => machine.failed.has(step))
  }

  /** This call meets with a fault. */
  protected met(machine: Machine, steps: readonly Step[], _what: string): void {
    for (const step of steps) machine.failed.add(step)
  }

  // What machines and backends need.

  fate(machine: Machine, steps: readonly Step[], what: string): Fate {
    const { fates } = this.schedule
    let fate = this.healed ? PLAIN : (fates[this.#fates++ % fates.length] ?? PLAIN)
    // A store that does nothing again and again is none.
    if (fate.step?.what === 'again' && ++machine.toldAgain > MOST_AGAIN) fate = PLAIN
    if (this.schedule.spares && this.spared(machine, steps, what)) fate = PLAIN
    if (fate === PLAIN) return fate
    this.met(machine, steps, what)
    this.disturbed = true
    return fate
  }

  pushFate(): PushFate {
    const { pushes } = this.schedule
    return this.healed ? { copies: 1, afterMs: 0 } : (pushes[this.#pushes++ % pushes.length] as PushFate)
  }

  send(afterMs: number, run: () => void): void {
    if (afterMs > 0) {
      this.#late.add({ atMs: this.nowMs + afterMs, run })
      return
    }
    this.#ready(run)
  }

  tell(): void {
    for (const { client, event } of this.store.pushes.splice(0)) {
      const { copies, afterMs } = this.pushFate()
      if (copies !== 1 || afterMs !== 0) this.disturbed = true
      const to = this.everybody.find(({ backend }) => backend.client === client)
      if (to === undefined) continue
      const owner = 'owner' in event ? ` ${event.owner}` : ''
      for (let i = 0; i < copies; i++) {
        this.send(afterMs, () => {
          this.note(`hears a push: ${event.type}${owner}`, to.machine.name)
          to.backend.hear(event)
        })
      }
      if (copies === 0) this.note(`a push is lost: ${event.type}${owner}`)
    }
  }

  note(what: string, process = 'store'): void {
    this.log?.(`${String(Math.round(this.nowMs)).padStart(7)} ms  ${process.padEnd(8)} ${what}`)
  }

  #ready(run: () => void): void {
    this.messages += 1
    this.#travelling.push(run)
  }

  protected start(index: number): P {
    const number = this.everybody.length
    const machine = new Machine(this, `process${number}`, this.schedule.skew ? (SPEEDS[number % 3] as number) : 1)
    const backend = new SimulatedBackend(this, machine, LIMITS[index % 3] as (typeof LIMITS)[number])
    const solo = this.library.connect(backend, { clock: machine, random: () => 0.5, callTimeoutMs: CALL_MS })
    const process = this.started({ machine, backend, solo, closing: false })
    this.everybody.push(process)
    // What fails where nobody is told is an event, and is expected here.
    solo.on('fault', ({ error }) => this.note(`fault: ${error}`, machine.name))
    return process
  }

  /** What may happen to any process. */
  protected async happens(command: Happening): Promise<void> {
    const process = 'process' in command ? (this.processes[command.process] as P) : null
    switch (command.do) {
      case 'stop':
        this.disturbed = true
        this.note(`stands still for ${command.ms} ms`, process?.machine.name)
        return command.sleeps ? process?.machine.sleep(command.ms) : process?.machine.stop(command.ms)
      case 'set':
        this.disturbed = true
        this.note(`its wall clock is set by ${command.ms} ms`, process?.machine.name)
        return process?.machine.setWall(command.ms)
      case 'gap':
        this.note('hears of a gap', process?.machine.name)
        return process?.backend.hear({ type: 'gap' })
      case 'deliver':
        return await this.deliver(command.count)
      case 'pass':
        return await this.pass(command.ms)
    }
  }

  /** Some of what is on its way arrives, in the order of the schedule. */
  protected async deliver(count: number): Promise<void> {
    for (let i = 0; i < count && this.#travelling.length > 0; i++) {
      if (i > MOST_ROUNDS) throw new Violated(`more than ${MOST_ROUNDS} messages travelled without time passing`)
      const [arrives] = this.#travelling.splice(Math.floor(this.#random() * this.#travelling.length), 1)
      arrives?.()
      await settled()
      this.judge()
    }
  }

  /** Time goes from one thing that happens to the next. */
  protected async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    await settled()
    for (let rounds = 0; ; rounds++) {
      if (rounds > MOST_ROUNDS) throw new Violated(`more than ${MOST_ROUNDS} things happened within ${ms} ms`)
      await this.deliver(Infinity)
      let nextMs = untilMs
      for (const { atMs } of this.#late) nextMs = Math.min(nextMs, atMs)
      for (const { machine } of this.everybody) nextMs = Math.min(nextMs, machine.nextDueMs)
      this.nowMs = Math.max(this.nowMs, nextMs)
      let happened = false
      for (const message of this.#late) {
        if (message.atMs > this.nowMs) continue
        this.#late.delete(message)
        this.#ready(message.run)
        happened = true
      }
      for (const { machine } of this.everybody) {
        this.#turn += 1
        if (machine.nextDueMs > this.nowMs || !machine.runDue(this.#turn % 2 === 0)) continue
        happened = true
        await settled()
        this.judge()
      }
      if (happened || this.nowMs < untilMs) continue
      this.judge()
      return this.judgeAtRest()
    }
  }

  /** Closes whatever is open, which has to end and to leave nothing. */
  protected async closeAll(): Promise<void> {
    const closed = { count: 0 }
    const ended = () => {
      closed.count += 1
    }
    for (const { solo, machine, closing } of this.everybody) {
      if (machine.dead) ended()
      else if (closing) void solo.close().then(ended, ended)
      else void solo.close().then(ended)
    }
    await this.pass(CALL_MS * 3)
    if (closed.count !== this.everybody.length) throw new Violated('close() did not end')
    for (const { machine } of this.everybody) {
      if (machine.timers.size > 0) throw new Violated(`${machine.name} has ${machine.timers.size} timers after close()`)
    }
  }

  protected assertOurs(error: unknown): void {
    const name = (error as Error | null)?.name
    if (name !== 'SoloistError' && name !== 'LockTimeoutError') throw new Violated(`rejected with ${error}`)
  }

  protected assertCode(error: unknown, codes: readonly string[]): void {
    const { code } = error as { code?: string }
    if (!codes.includes(String(code))) throw new Violated(`rejected with ${error}`)
  }
}

/** Resolves when all is done that can be done without anything from outside. */
export function settled(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
