import { type Job, type JobRun, type JobStrategy, jobLockNames, type Step } from 'soloist'
import {
  type Args,
  type HandlerPlan,
  type JobCommand,
  type JobKind,
  type JobKindName,
  type JobSchedule,
  jobKinds,
} from './job-commands.js'
import type { Fate, Machine } from './machine.js'
import { CALL_MS, Stage, type StageProcess, settled, Violated } from './stage.js'

/** What a run results in. */
interface Result {
  readonly run: string
}

interface Process extends StageProcess {
  readonly jobs: Partial<Record<JobKindName, Job<Args, Result>>>
  /** What it was told of failed runs. */
  readonly failures: { readonly job: string; readonly error: unknown }[]
  /** When `close()` ended; `Infinity`: it has not. */
  closedMs: number
}

/** One trigger, as its caller sees it. */
interface Triggered {
  readonly number: number
  readonly process: Process
  readonly kind: JobKindName
  readonly strategy: JobStrategy
  readonly timeoutMs: number | null
  /** When it came, in the order of all that happens. */
  readonly sentAt: number
  /** When it was answered; `Infinity`: not known to be. */
  acceptedAt: number
  /** Runs that were over by then, in the store. */
  readonly over: ReadonlySet<string>
  /** What it relied on; `null`: it has not ended, or without a run. */
  run: Ran | null
  code: string | null
  ended: boolean
}

/** One run, from the first call of its handler on. */
interface Ran {
  readonly id: string
  readonly kind: JobKindName
  readonly process: Process
  readonly args: Args
  readonly fence: number
  /** When it started, in the order of all that happens. */
  readonly startedAt: number
  readonly run: JobRun
  attempts: number
  /** Whether its handler is under way. */
  executes: boolean
  /** Ends the handler, where it waits to be told to. */
  finish: ((throws: boolean) => void) | null
}

/** What a handler throws here. */
class RunError extends Error {
  override readonly name = 'RunError'
  readonly code: string

  constructor(run: string) {
    super(`the run ${run} failed`)
    this.code = run
  }
}

/**
 * How long all may take to be over once everything works again: until a client that is gone counts as silent, a grant to it has
 * run out, and who waits has asked again. It is shorter than it is told for that a run was displaced: who asks for a run of
 * which the store has only that to tell must not go on until that is over.
 */
const OVER_WITHIN_MS = 30_000
/** And for each trigger that may have to wait for a period of its own. */
const PERIOD_WITHIN_MS = 2_500

/** How long after `close()` a trigger may take to end. */
const CLOSED_MS = CALL_MS + 100

/** A world whose processes trigger jobs. */
export class JobWorld extends Stage<JobSchedule, Process> {
  /** How often a handler was called. */
  grants = 0
  readonly #triggers: Triggered[] = []
  readonly #runs = new Map<string, Ran>()
  readonly #executing = new Set<Ran>()
  readonly #fences = new Map<JobKindName, number>()
  readonly #failed = new Map<Machine, Set<string>>()
  /** Whose claims the network asked for once more. */
  readonly #repeated = new Set<string>()
  #order = 0
  #handlers = 0
  /** What was found wrong where it could not be thrown. */
  #wrong: string | null = null

  async run(): Promise<void> {
    this.open()
    const { commands, together } = this.schedule
    for (const [i, command] of commands.entries()) {
      await this.#do(command)
      if ((together >> i) & 1) continue
      await settled()
      this.judge()
    }
    await this.#settle()
    for (const triggered of this.#triggers) this.#judgeEnd(triggered)
    if (!this.disturbed) this.#judgeArguments()
    this.#throwWrong()
  }

  protected override started(common: StageProcess): Process {
    const process: Process = { ...common, jobs: {}, failures: [], closedMs: Infinity }
    for (const name of new Set(this.schedule.kinds)) {
      const { options } = jobKinds[name] as JobKind
      process.jobs[name] = process.solo.job(name, options, (args: Args, run) => this.#handle(process, name, args, run))
    }
    process.solo.on('jobFailed', ({ job, error }) => process.failures.push({ job, error }))
    return process
  }

  /** A step that is made anew in the place of one that failed is its repetition, too, and so is a question that is asked anew. */
  protected override spared(machine: Machine, steps: readonly Step[], what: string): boolean {
    const failed = this.#failedOf(machine)
    return keysOf(steps, what).filter(key => failed.delete(key)).length > 0
  }

  protected override met(machine: Machine, steps: readonly Step[], what: string): void {
    const failed = this.#failedOf(machine)
    for (const key of keysOf(steps, what)) failed.add(key)
  }

  override fate(machine: Machine, steps: readonly Step[], what: string): Fate {
    const fate = super.fate(machine, steps, what)
    if (fate.repeatMs !== null) for (const step of steps) if ('claim' in step) this.#repeated.add(step.claim.owner)
    return fate
  }

  #failedOf(machine: Machine): Set<string> {
    const failed = this.#failed.get(machine) ?? new Set()
    this.#failed.set(machine, failed)
    return failed
  }

  async #do(command: JobCommand): Promise<void> {
    switch (command.do) {
      case 'trigger':
        return this.#trigger(this.processes[command.process] as Process, command)
      case 'finish':
        return this.#finish(command.which, command.throws)
      case 'crash':
        return this.#crash(command.process)
      case 'close':
        return this.#close(command.process, command.drainMs)
      default:
        return await this.happens(command)
    }
  }

  #trigger(process: Process, command: JobCommand & { readonly do: 'trigger' }): void {
    if (process.closing || !process.machine.running) return
    const { calls, timeoutMs } = command
    const name = this.schedule.kinds[command.kind] as JobKindName
    const kind: JobKind = jobKinds[name]
    const job = process.jobs[name] as Job<Args, Result>
    const number = this.#triggers.length + 1
    const args = { items: [number], strategy: command.strategy }
    const held = new Set(this.store.holders(this.#lock(name, job)).map(({ owner }) => owner))
    const over = [...this.#runs.values()].filter(({ id, kind }) => kind === name && !held.has(id)).map(({ id }) => id)
    const triggered: Triggered = {
      ...{ number, process, kind: name, strategy: kind.strategy ?? command.strategy, timeoutMs },
      ...{ sentAt: ++this.#order, acceptedAt: Infinity, over: new Set(over), run: null, code: null, ended: false },
    }
    this.#triggers.push(triggered)
    const how = calls ? 'calls' : 'triggers'
    this.note(`${how} ${name} as trigger ${number}, ${triggered.strategy}`, process.machine.name)
    const options = timeoutMs === null ? {} : { timeoutMs }
    const ended = (result: Result) => this.#ended(triggered, String(result?.run))
    const failed = (error: unknown) => this.#rejected(triggered, error)
    if (calls) {
      job(args, options).then(ended, failed)
      return
    }
    job.trigger(args).then(outcome => {
      triggered.acceptedAt = ++this.#order
      this.note(`trigger ${number} is told: ${outcome.status}, of run ${outcome.id}`, process.machine.name)
      outcome.result(options).then(ended, failed)
    }, failed)
  }

  /** The handler of every job. */
  async #handle(process: Process, kind: JobKindName, args: Args, run: JobRun): Promise<Result> {
    const { machine } = process
    // What was on its way when its process died was never called.
    if (machine.dead) return await new Promise(() => {})
    this.grants += 1
    const { id, fence, attempt } = run
    this.note(`runs ${kind} as ${id}, fence ${fence}, attempt ${attempt}, with ${args.items}`, machine.name)
    const ran = this.#begun(process, kind, args, run)
    ran.attempts += 1
    if (run.signal.aborted) this.#isWrong(`the handler of ${id} was called with a signal that had fired`)
    if (attempt !== ran.attempts) this.#isWrong(`the run ${id} was begun twice`)
    ran.executes = true
    this.#executing.add(ran)
    try {
      const { handlers } = this.schedule
      const plan = handlers[this.#handlers++ % handlers.length] as HandlerPlan
      if (await this.#ends(ran, plan)) throw new RunError(id)
      return { run: id }
    } finally {
      ran.executes = false
      ran.finish = null
      this.#executing.delete(ran)
      this.note(`the handler of ${id} ends`, machine.name)
    }
  }

  #begun(process: Process, kind: JobKindName, args: Args, run: JobRun): Ran {
    const { id, fence } = run
    const known = this.#runs.get(id)
    if (known !== undefined) return known
    const { limit } = jobKinds[kind] as JobKind
    const before = this.#fences.get(kind) ?? 0
    // Where runs may overlap, they may start in another order.
    if (limit === 1 && fence <= before) this.#isWrong(`${id} started with fence ${fence}, after ${before}`)
    this.#fences.set(kind, Math.max(fence, before))
    const how = { attempts: 0, executes: true, finish: null }
    const ran: Ran = { id, kind, process, args, fence, startedAt: ++this.#order, run, ...how }
    this.#runs.set(id, ran)
    return ran
  }

  /** @returns whether it throws */
  async #ends(ran: Ran, { ends, listens }: HandlerPlan): Promise<boolean> {
    if (ends === 'at once') return false
    if (ends === 'throws') return true
    const { machine } = ran.process
    return await new Promise(resolve => {
      ran.finish = resolve
      if (ends === 'soon') machine.setTimer(300, () => resolve(false))
      if (listens) ran.run.signal.addEventListener('abort', () => resolve(true), { once: true })
    })
  }

  #finish(which: number, throws: boolean): void {
    const waiting = [...this.#executing].filter(({ finish, process }) => finish !== null && process.machine.running)
    const ran = waiting[which % Math.max(waiting.length, 1)]
    ran?.finish?.(throws)
  }

  #ended(triggered: Triggered, run: string): void {
    const { number, process, kind, strategy } = triggered
    if (process.machine.dead) return
    triggered.ended = true
    this.note(`trigger ${number} ends with run ${run}`, process.machine.name)
    const ran = this.#runs.get(run)
    if (ran?.kind !== kind) return this.#isWrong(`trigger ${number} was told of ${run}, which never ran`)
    triggered.run = ran
    const { merges, gated } = jobKinds[kind] as JobKind
    const adds = strategy === 'rerun' || strategy === 'replace' || strategy === 'delay'
    // A request that the network repeats when it was answered long ago brings a run back, with what it left.
    if (this.#repeated.has(run)) return
    if ((adds || gated) && ran.startedAt < triggered.sentAt) {
      this.#isWrong(`trigger ${number} is covered by ${run}, which had started before it came`)
    }
    if (!adds && kind !== 'period' && triggered.over.has(run)) {
      this.#isWrong(`trigger ${number} joined ${run}, which was over when it came`)
    }
    const times = ran.args.items.filter(item => item === number).length
    // Or it leaves the same arguments with a run that comes later.
    const may = [...this.#repeated].some(owner => owner.startsWith(`${process.solo.clientId}/`)) ? Infinity : 1
    if (merges && (times < 1 || times > may)) {
      this.#isWrong(`the arguments of trigger ${number} are ${times} times in ${run}`)
    }
  }

  #rejected(triggered: Triggered, error: unknown): void {
    const { number, process, strategy, timeoutMs, kind } = triggered
    if (process.machine.dead) return
    const { name, code, cause, id } = error as { name?: string; code?: string; cause?: RunError; id?: string }
    if (name === 'RunError') return this.#ended(triggered, String(code))
    if (code === 'JOB_FAILED' && cause?.name === 'RunError') {
      if (cause.code !== id) this.#isWrong(`trigger ${number} was told of ${id}, and what ${cause.code} threw`)
      return this.#ended(triggered, cause.code)
    }
    triggered.ended = true
    triggered.code = String(code)
    this.note(`trigger ${number} ends: ${error}`, process.machine.name)
    if (!['SoloistError', 'JobFailedError', 'DuplicateJobError'].includes(String(name))) {
      this.#isWrong(`trigger ${number} was rejected with ${error}`)
    }
    const accepted = triggered.acceptedAt !== Infinity
    const may: Readonly<Record<string, boolean>> = {
      DUPLICATE_JOB: strategy === 'skip' || (strategy === 'reject' && !accepted),
      RESULT_TIMEOUT: timeoutMs !== null,
      RUN_TIMEOUT: kind === 'bounded',
      JOB_FAILED: kind === 'bounded' && cause?.code === 'RUN_TIMEOUT',
      CLOSED: process.closing,
      LEASE_LOST: this.disturbed,
      // What was accepted survives an outage, unless that is as long as is documented.
      BACKEND_UNAVAILABLE: this.disturbed && !(accepted && this.schedule.spares),
    }
    if (may[String(code)] !== true) this.#isWrong(`trigger ${number} was rejected: ${error}, by ${cause}`)
  }

  /** The process is gone, with its triggers and its runs. */
  #crash(index: number): void {
    const { machine } = this.processes[index] as Process
    this.note('dies', machine.name)
    this.disturbed = true
    machine.kill()
    for (const ran of this.#executing) if (ran.process.machine === machine) this.#executing.delete(ran)
    for (const triggered of this.#triggers) if (triggered.process.machine === machine) triggered.ended = true
    this.processes[index] = this.start(index)
  }

  #close(index: number, drainMs: number): void {
    const process = this.processes[index] as Process
    if (process.closing || !process.machine.running) return
    this.note(`is closed, with ${drainMs} ms to drain`, process.machine.name)
    process.closing = true
    this.disturbed = true
    const closed = () => {
      process.closedMs = this.nowMs
    }
    process.solo.close({ drainMs }).then(closed, (error: unknown) => {
      closed()
      if ((error as { code?: string }).code !== 'BACKEND_UNAVAILABLE') this.#isWrong(`close() rejected with ${error}`)
    })
    this.processes[index] = this.start(index)
  }

  protected override judge(): void {
    this.#throwWrong()
    const valid = new Map<JobKindName, Ran[]>()
    for (const ran of this.#executing) {
      const { process, kind, id, fence } = ran
      if (!process.machine.running || ran.run.signal.aborted || !isValid(ran.run)) continue
      const together = valid.get(kind) ?? []
      valid.set(kind, [...together, ran])
      const name = this.#lock(kind, process.jobs[kind] as Job<Args, Result>)
      const holders = this.store.holders(name)
      const holder = holders.find(({ owner }) => owner === id)
      if (holder === undefined) {
        const who = holders.map(({ owner }) => owner).join(', ') || 'nobody'
        throw new Violated(`${id} counts on its lock, which is held by ${who}`)
      }
      if (kind !== 'period' && holder.fence !== fence) {
        throw new Violated(`${id} holds its lock with fence ${holder.fence}, and was told ${fence}`)
      }
    }
    for (const [kind, together] of valid) {
      const { limit } = jobKinds[kind] as JobKind
      if (limit !== null && together.length > limit) {
        throw new Violated(`${together.map(({ id }) => id).join(' and ')} run together`)
      }
    }
    for (const { process, ended, number, kind } of this.#triggers) {
      // What it asked before may have no answer for as long as a call may take.
      if (ended || this.nowMs < process.closedMs + CLOSED_MS || process.machine.runningForMs < CLOSED_MS) continue
      const executes = [...this.#executing].some(ran => ran.process === process && ran.kind === kind)
      if (!executes) throw new Violated(`trigger ${number} did not end by close()`)
    }
  }

  protected override judgeAtRest(): void {}

  /** Everything works again, and every handler ends: each trigger must end, and nothing stay behind. */
  async #settle(): Promise<void> {
    this.note('all works again', 'world')
    this.healed = true
    const periods = this.#triggers.filter(({ kind }) => kind === 'period').length
    const untilMs = this.nowMs + OVER_WITHIN_MS + periods * PERIOD_WITHIN_MS
    while (this.nowMs < untilMs && !this.#isOver()) {
      this.#finishAll()
      await this.pass(500)
    }
    const left = this.#triggers.filter(({ ended }) => !ended).map(({ number, kind }) => `${number} of ${kind}`)
    if (left.length > 0) throw new Violated(`these triggers did not end: ${left.join(', ')}`)
    const inUse = this.store.inUse().map(name => {
      const holders = this.store.holders(name).map(({ owner }) => owner)
      return `${name}, held by ${holders}, waited for by ${this.store.waiters(name)}`
    })
    if (inUse.length > 0) throw new Violated(`these locks are in use by nobody: ${inUse.join('; ')}`)
    await this.closeAll()
  }

  /** Whether every trigger has ended, and nothing is in use. */
  #isOver(): boolean {
    if (this.#triggers.some(({ ended }) => !ended) || this.#executing.size > 0) return false
    for (const name of this.store.inUse()) this.store.look(name)
    return this.store.inUse().length === 0
  }

  #finishAll(): void {
    for (const { finish, process } of [...this.#executing]) if (process.machine.running) finish?.(false)
  }

  /** An accepted trigger that nothing came of was told of by an event. */
  #judgeEnd({ number, code, acceptedAt, process, kind }: Triggered): void {
    if (acceptedAt === Infinity || code !== 'BACKEND_UNAVAILABLE') return
    const told = process.failures.some(({ job, error }) => job === kind && (error as { code?: string }).code === code)
    if (!told) this.#isWrong(`trigger ${number} was accepted and not covered, and no event told so`)
  }

  /** Where nothing was lost or late, each trigger's arguments were in one run, in the order in which the triggers came. */
  #judgeArguments(): void {
    for (const { id, kind, args } of this.#runs.values()) {
      const { merges, strategy } = jobKinds[kind] as JobKind
      const items = args.items.map(number => this.#triggers[number - 1] as Triggered)
      for (const [i, later] of items.entries()) {
        const passed = items.slice(0, i).find(earlier => comesBefore(later, earlier))
        if (passed) this.#isWrong(`in ${id} trigger ${later.number} comes after ${passed.number}, which came later`)
      }
      if (merges || strategy !== 'rerun') continue
      const [own] = items as [Triggered]
      const newer = this.#triggers.find(
        ({ run }, i) => run?.id === id && comesBefore(own, this.#triggers[i] as Triggered),
      )
      if (newer) this.#isWrong(`${id} has the arguments of trigger ${own.number}, and not of ${newer.number}`)
    }
    for (const { number, kind, acceptedAt } of this.#triggers) {
      if (!(jobKinds[kind] as JobKind).merges || acceptedAt === Infinity) continue
      const runs = [...this.#runs.values()].filter(ran => ran.kind === kind && ran.args.items.includes(number))
      if (runs.length !== 1) this.#isWrong(`the arguments of trigger ${number} are in ${runs.length} runs`)
    }
  }

  #lock(kind: JobKindName, job: Job<Args, Result>): string {
    const names = jobLockNames(kind, job.key({ items: [], strategy: 'join' }))
    return kind === 'period' ? names.run : names.trigger
  }

  #isWrong(message: string): void {
    this.#wrong ??= message
  }

  #throwWrong(): void {
    if (this.#wrong !== null) throw new Violated(this.#wrong)
  }
}

/** Whether it is certain that the one trigger came before the other: one process sends its triggers in their order. */
function comesBefore(one: Triggered, other: Triggered): boolean {
  return one.acceptedAt < other.sentAt || (one.process === other.process && one.sentAt < other.sentAt)
}

function isValid(run: JobRun): boolean {
  try {
    run.assertValid()
    return true
  } catch (error) {
    if ((error as { name?: string }).name !== 'SoloistError') throw error
    return false
  }
}

function keysOf(steps: readonly Step[], what: string): readonly string[] {
  if (steps.length === 0) return [what]
  return steps.map(step => `${step.kind} ${'claim' in step ? step.claim.owner : step.owner}`)
}
