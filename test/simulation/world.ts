import type { Lease, Lock, Soloist } from 'soloist'
import { checkHistory, type HistoryRecord } from 'soloist/conformance'
import type { Command, Kind, Schedule } from './commands.js'
import { SIGNAL_MS, Stage, type StageProcess, settled, Violated } from './stage.js'

/** Where nothing is lost or late, who waits is told at once; where a lease runs out, within 20 ms by the clock of the store. */
const WAKE_UP_MS = 25
/** Of a lease's length: the time until the next renewal, which may be early or late by a tenth. */
const TOLD_AFTER = 0.5

const kinds: Readonly<Record<Kind, { readonly name: string; of(solo: Soloist): Lock }>> = {
  mutex: { name: 'a', of: solo => solo.rwLock('a').write },
  reader: { name: 'a', of: solo => solo.rwLock('a').read },
  permit: { name: 's', of: solo => solo.semaphore('s', 2) },
  whole: { name: 's', of: solo => solo.rwLock('s').write },
}

/** A lease as its class has it, so that looking at it changes nothing. */
type Inner = Lease & { readonly held: boolean; readonly remainingMs: number }

interface Process extends StageProcess {
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

/** A world whose processes ask for locks. */
export class World extends Stage<Schedule, Process> {
  readonly records: HistoryRecord[] = []
  grants = 0
  readonly #calls: Call[] = []
  /** Calls whose lease is or may be valid. */
  readonly #leases = new Set<Call>()
  readonly #tokens: { readonly token: string; readonly kind: Kind; readonly owner: string }[] = []
  /** Whether something is kept on purpose that no call stands for. */
  #untraced = false

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
    this.#judgeHistory()
  }

  protected override started(common: StageProcess): Process {
    const process: Process = { ...common, calls: 0 }
    process.solo.on('waiting', ({ owner }) => {
      const call = this.#calls.find(call => call.process === process && call.owner === owner)
      if (call?.state === 'waiting') this.#record({ event: 'queued' }, call)
    })
    return process
  }

  async #do(command: Command): Promise<void> {
    const process = 'process' in command ? (this.processes[command.process] as Process) : null
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
      default:
        return await this.happens(command)
    }
  }

  #call(process: Process, command: Command & { readonly do: 'lock' }): void {
    if (process.closing || !process.machine.running) return
    const { kind, ttlMs, waitMs, holdForMs, retakes } = command
    // A lock that is left to run out is found free by the next beat, and not sooner.
    if (holdForMs > 0) this.disturbed = this.#untraced = true
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
    this.assertOurs(error)
    if (!this.disturbed && (error as { code?: string }).code === 'BACKEND_UNAVAILABLE') {
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
      (error: unknown) => this.assertCode(error, ['BACKEND_UNAVAILABLE', 'CLOSED']),
    )
  }

  #renew(call: Call | undefined): void {
    if (call?.state !== 'held' || !call.process.machine.running) return
    this.note(`renews ${call.owner}`, call.process.machine.name)
    const codes = ['BACKEND_UNAVAILABLE', 'CLOSED', 'LEASE_LOST']
    call.lease?.renew().catch((error: unknown) => this.assertCode(error, codes))
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
    this.disturbed = this.#untraced = true
    this.note(`hands on ${call.owner}`, call.process.machine.name)
    const { lease, kind, owner } = call
    lease?.detach().then(
      token => {
        this.#lost(call)
        this.#over(call)
        this.#tokens.push({ token, kind, owner })
      },
      (error: unknown) => this.assertCode(error, ['BACKEND_UNAVAILABLE', 'CLOSED', 'LEASE_LOST']),
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
        this.assertOurs(error)
      },
    )
  }

  /** The process is gone. What it holds counts for as long as it would have. */
  #crash(index: number): void {
    const { machine } = this.processes[index] as Process
    this.note('dies', machine.name)
    this.disturbed = true
    machine.kill()
    this.records.push({ event: 'ended', process: machine.name, atMs: this.nowMs })
    for (const call of this.#calls)
      if (call.process.machine === machine && call.state === 'waiting') call.state = 'over'
    this.processes[index] = this.start(index)
  }

  #close(index: number, drainMs: number): void {
    const process = this.processes[index] as Process
    if (process.closing || !process.machine.running) return
    this.note(`is closed, with ${drainMs} ms to drain`, process.machine.name)
    process.closing = true
    // Nothing more is known of what it gives back.
    this.disturbed = true
    void process.solo.close({ drainMs }).catch((error: unknown) => this.assertCode(error, ['BACKEND_UNAVAILABLE']))
    this.processes[index] = this.start(index)
  }

  /** What must hold at every moment. */
  protected override judge(): void {
    for (const call of this.#leases) {
      const { process, owner, kind } = call
      const { machine } = process
      const lease = call.lease as Inner
      const valid = lease.held && lease.remainingMs > 0
      if (!valid && !this.disturbed && call.state === 'held' && call.takenMs === Infinity) {
        throw new Violated(`${owner} lost its lease, and nothing was wrong`)
      }
      if (valid && !this.disturbed && this.nowMs > call.takenMs + call.ttlMs * TOLD_AFTER + 2) {
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
  protected override judgeAtRest(): void {
    if (this.schedule.spares ? this.#untraced : this.disturbed) return
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
    this.healed = true
    for (let i = 0; i < 60 && this.#calls.some(({ state }) => state !== 'over'); i++) {
      for (const call of this.#calls) this.#release(call)
      for (const call of this.#leases) if (call.process.closing) this.#over(call)
      await this.pass(500)
    }
    const left = this.#calls.filter(({ state }) => state !== 'over').map(({ owner, state }) => `${owner} (${state})`)
    if (left.length > 0) throw new Violated(`these calls did not end: ${left.join(', ')}`)
    await this.pass(20_000)
    for (const name of this.store.inUse()) this.store.look(name)
    const inUse = this.store.inUse().map(name => {
      const holders = this.store.holders(name).map(({ owner }) => owner)
      return `${name}, held by ${holders}, waited for by ${this.store.waiters(name)}`
    })
    if (inUse.length > 0) throw new Violated(`these locks are in use by nobody: ${inUse.join('; ')}`)
    await this.closeAll()
  }

  /** What the processes saw, judged as the history of any other run. */
  #judgeHistory(): void {
    const disturbance = { event: 'fault', kind: 'any', atMs: 0, untilMs: this.nowMs, hits: 1 } as const
    const records = this.disturbed ? [...this.records, disturbance] : this.records
    const { violations } = checkHistory(records, {
      budget: 20_000,
      ...(this.disturbed ? {} : { wakeUpMs: WAKE_UP_MS }),
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
}
