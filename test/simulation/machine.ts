import type { Answer, Answers, Backend, ClaimId, Clock, LockState, Step, StoreEvent, Timer, WatchReply } from 'soloist'
import type { SpecStore } from './spec-store.js'

/** What becomes of one call on its way. */
export interface Fate {
  /** Whether the request arrives. */
  readonly request: 'arrives' | 'lost' | 'refused'
  /** What comes back: the answer, nothing, or an error although the call was carried out. */
  readonly answer: 'arrives' | 'lost' | 'error'
  /** After how long it arrives; 0: whenever it is its turn. */
  readonly requestMs: number
  readonly answerMs: number
  /** Whether it is carried out twice at once; the second answer counts. */
  readonly twice: boolean
  /** After how long the request is carried out once more, as by a client that sent it again; `null`: it is not. */
  readonly repeatMs: number | null
  /** What becomes of a single step in it, by its place. */
  readonly step: { readonly at: number; readonly what: 'again' | 'refused' | 'lost' } | null
}

export const PLAIN: Fate = {
  request: 'arrives',
  answer: 'arrives',
  requestMs: 0,
  answerMs: 0,
  twice: false,
  repeatMs: null,
  step: null,
}

/** What becomes of one push. */
export interface PushFate {
  readonly copies: number
  readonly afterMs: number
}

/** What a machine needs of the world it is in. */
export interface Network {
  readonly nowMs: number
  readonly store: SpecStore
  /** @param what what is asked, for what is no step */
  fate(machine: Machine, steps: readonly Step[], what: string): Fate
  pushFate(): PushFate
  /** Something that happens after this long, in an order that nobody can rely on. */
  send(afterMs: number, run: () => void): void
  /** Delivers what the store tells clients. */
  tell(): void
  note(what: string, process?: string): void
}

/** The error of a call that was refused or whose answer was lost. */
export class NetworkError extends Error {}

interface Pending {
  readonly dueMs: number
  readonly run: () => void
}

/** What a process is in: its clocks, its timers and what has reached it. All may stand still. */
export class Machine implements Clock {
  readonly name: string
  /** Until when it stands still, in true time. */
  stoppedUntilMs = -Infinity
  /** Whether its process is gone. */
  dead = false
  /** How often it was told to send something again. */
  toldAgain = 0
  /** What met with a fault once. */
  readonly failed = new WeakSet<Step>()
  readonly timers = new Set<Pending>()
  readonly #network: Network
  /** How fast its clocks go. */
  readonly #speed: number
  readonly #startMs: number
  /** How long its monotonic clock has stood still, as while a machine sleeps. */
  #sleptMs = 0
  /** How far its wall clock was set. */
  #setMs = 0
  #wasSetBack = false
  /** What reached it while it stood still. */
  #inbox: (() => void)[] = []

  constructor(network: Network, name: string, speed: number) {
    this.#network = network
    this.name = name
    this.#speed = speed
    this.#startMs = network.nowMs
  }

  monotonicMs(): number {
    return 5_000 + (this.#network.nowMs - this.#startMs - this.#sleptMs) * this.#speed
  }

  wallMs(): number {
    return Date.UTC(2026, 0, 1) + (this.#network.nowMs - this.#startMs) * this.#speed + this.#setMs
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { dueMs: this.monotonicMs() + Math.ceil(Math.max(delayMs, 0)), run }
    if (!this.dead) this.timers.add(timer)
    return { cancel: () => this.timers.delete(timer) }
  }

  get stopped(): boolean {
    return this.#network.nowMs < this.stoppedUntilMs
  }

  get running(): boolean {
    return !this.dead && !this.stopped
  }

  /** Whether its two clocks have gone alike, so that its timers know of all the time that passed. */
  get timely(): boolean {
    return this.#sleptMs === 0 && this.#setMs === 0
  }

  /** For how long it has not stood still. */
  get runningForMs(): number {
    return this.dead ? 0 : this.#network.nowMs - this.stoppedUntilMs
  }

  /** When something is due for it, in true time. */
  get nextDueMs(): number {
    if (this.dead) return Infinity
    if (this.stopped) return this.stoppedUntilMs
    if (this.#inbox.length > 0) return this.#network.nowMs
    let first = Infinity
    for (const { dueMs } of this.timers) first = Math.min(first, dueMs)
    return Math.max(this.#startMs + this.#sleptMs + (first - 5_000) / this.#speed, this.#network.nowMs)
  }

  /** Runs the first timer that is due, or what reached it while it stood still: which of them comes first is not promised. */
  runDue(inboxFirst: boolean): boolean {
    if (!this.running) return false
    const now = this.monotonicMs() + 1e-6
    let first: Pending | undefined
    for (const timer of this.timers) {
      if (timer.dueMs <= now && (first === undefined || timer.dueMs < first.dueMs)) first = timer
    }
    if (first !== undefined && !(inboxFirst && this.#inbox.length > 0)) {
      this.timers.delete(first)
      first.run()
      return true
    }
    const arrived = this.#inbox.shift()
    arrived?.()
    return arrived !== undefined
  }

  /** Something reaches it. */
  receive(run: () => void): void {
    if (this.dead) return
    if (this.stopped || this.#inbox.length > 0) this.#inbox.push(run)
    else run()
  }

  /** Stands still for so long: only its clocks go on. */
  stop(ms: number): void {
    this.stoppedUntilMs = Math.max(this.stoppedUntilMs, this.#network.nowMs + ms)
  }

  /**
   * As {@link stop}, and its monotonic clock stands still too. Not together with a wall clock that was set back: then no
   * clock saw the time, which is documented.
   */
  sleep(ms: number): void {
    this.stop(ms)
    if (!this.#wasSetBack) this.#sleptMs += ms
  }

  /** Its wall clock is set by somebody. */
  setWall(ms: number): void {
    if (ms < 0 && this.#sleptMs > 0) return
    this.#wasSetBack ||= ms < 0
    this.#setMs += ms
  }

  kill(): void {
    this.dead = true
    this.timers.clear()
    this.#inbox = []
  }

  /** In how long of true time this long passes on its clock. */
  trueMs(ms: number): number {
    return ms / this.#speed
  }
}

/** One client of the store that is specified, over a network that keeps no promise. */
export class SimulatedBackend implements Backend {
  readonly kind = 'simulated'
  readonly beatMs = 4_000
  readonly mostSteps: number
  readonly callsAtOnce: number
  readonly results: { watch(claim: ClaimId): Promise<WatchReply> } = { watch: claim => this.#watch(claim) }
  readonly #network: Network
  readonly #machine: Machine
  #client = ''
  #listener: (event: StoreEvent) => void = () => {}
  #calls = 0
  #closed = false

  constructor(
    network: Network,
    machine: Machine,
    limits: { readonly mostSteps: number; readonly callsAtOnce: number },
  ) {
    this.#network = network
    this.#machine = machine
    this.mostSteps = limits.mostSteps
    this.callsAtOnce = limits.callsAtOnce
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#listener = listener
    this.#network.store.clients.add(client)
  }

  get client(): string {
    return this.#client
  }

  hear(event: StoreEvent): void {
    if (!this.#closed) this.#machine.receive(() => this.#listener(event))
  }

  run(steps: readonly Step[]): Promise<Answers> {
    const what = steps.map(shown).join(', ')
    return this.#call(what, steps, (step): Answers => {
      const { store } = this.#network
      if (step === null) return store.run(this.#client, steps)
      // From a step that is to be sent again on, nothing was done for its lock.
      const again = new Set<number>()
      const { at, what } = step
      const name = nameOf(steps[at] as Step)
      steps.forEach((other, i) => {
        if (what === 'again' && i >= at && nameOf(other) === name) again.add(i)
        if (what === 'refused' && i === at) again.add(i)
      })
      const done = store.run(
        this.#client,
        steps.filter((_, i) => !again.has(i)),
      )
      let k = 0
      const answers = steps.map((_, i): Answer => {
        const error = new NetworkError('this step failed')
        if (again.has(i)) return what === 'again' ? { status: 'again' } : { status: 'fault', error }
        const answer = done.steps[k++] as Answer
        return what === 'lost' && i === at ? { status: 'fault', error } : answer
      })
      return { steps: answers, handed: done.handed }
    })
  }

  inspect(): Promise<LockState | null> {
    return Promise.reject(new NetworkError('nobody looks here'))
  }

  list(): AsyncIterable<LockState> {
    throw new NetworkError('nobody looks here')
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#network.store.clients.delete(this.#client)
  }

  #watch(claim: ClaimId): Promise<WatchReply> {
    return this.#call(`watch ${claim.owner}`, [], () => this.#network.store.watch(this.#client, claim))
  }

  /** One call, there and back. */
  #call<T>(what: string, steps: readonly Step[], carryOut: (step: Fate['step']) => T): Promise<T> {
    const network = this.#network
    const machine = this.#machine
    this.#calls += 1
    const label = `${machine.name}#${this.#calls}`
    const fate = network.fate(machine, steps, what)
    const step = fate.step !== null && fate.step.at < steps.length ? fate.step : null
    network.note(`sends ${label}: ${what}${fate === PLAIN ? '' : ` (${fateText(fate)})`}`, machine.name)
    return new Promise((resolve, reject) => {
      if (machine.dead || fate.request === 'lost') return
      if (fate.request === 'refused') return reject(new NetworkError('refused'))
      const once = (answers: boolean, only: Fate['step']) => {
        if (this.#closed) return
        if (fate.twice) carryOut(only)
        const answer = carryOut(only)
        network.note(`carries out ${label}: ${what} → ${answerText(answer)}`)
        network.tell()
        if (!answers || fate.answer === 'lost') return
        network.send(fate.answerMs, () => {
          machine.receive(() => {
            network.note(`hears the answer to ${label}${fate.answer === 'error' ? ': an error' : ''}`, machine.name)
            if (fate.answer === 'error') reject(new NetworkError('the answer was lost'))
            else resolve(answer)
          })
        })
      }
      network.send(fate.requestMs, () => once(true, step))
      const { repeatMs } = fate
      if (repeatMs !== null) network.send(repeatMs, () => once(false, null))
    })
  }
}

function nameOf(step: Step): string {
  return 'claim' in step ? step.claim.name : step.name
}

function shown(step: Step): string {
  if (!('claim' in step)) return `${step.kind} ${step.name} ${step.owner}`
  const ticket = step.kind === 'acquire' && step.ticket !== null ? ` ticket ${step.ticket}` : ''
  return `${step.kind} ${step.claim.name} ${step.claim.owner}${ticket}`
}

function fateText({ request, answer, requestMs, answerMs, twice, repeatMs, step }: Fate): string {
  const parts = [
    request === 'arrives' ? '' : `request ${request}`,
    answer === 'arrives' ? '' : `answer ${answer}`,
    requestMs > 0 ? `request after ${requestMs} ms` : '',
    answerMs > 0 ? `answer after ${answerMs} ms` : '',
    twice ? 'carried out twice' : '',
    repeatMs === null ? '' : `carried out again after ${repeatMs} ms`,
    step === null ? '' : `step ${step.at} ${step.what}`,
  ]
  return parts.filter(Boolean).join(', ')
}

function answerText(answer: unknown): string {
  const text = (one: Answer) => ('fence' in one ? `${one.status} ${one.fence}` : one.status)
  const { steps, handed } = answer as Partial<Answers>
  if (steps === undefined) return JSON.stringify(answer)
  const grants = (handed ?? []).map(({ owner, fence }) => `; grants ${owner} ${fence}`)
  return steps.map(text).join(', ') + grants.join('')
}
