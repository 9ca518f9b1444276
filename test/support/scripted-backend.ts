import type {
  Answer,
  Answers,
  Backend,
  ClaimId,
  Clock,
  LockState,
  ResultStore,
  Step,
  StoreEvent,
  WatchReply,
} from 'soloist'

export type Method = Step['kind'] | 'watch' | 'inspect' | 'list' | 'close'

/** What happens to one call on its way to the datastore and back. */
export type Fate =
  | 'pass'
  /** Never arrives; no answer. */
  | 'drop'
  /** Carried out; no answer. */
  | 'swallow'
  /** Never arrives; an error at once. */
  | 'refuse'
  /** Carried out; an error at once, as when the connection breaks before the reply. */
  | 'lose'
  /** Carried out twice, as when a client sends it again on a new connection; the second answer counts. */
  | 'twice'
  /** An exception instead of a rejection. */
  | 'throw'
  /** Carried out after this long. */
  | { readonly arrivesAfterMs: number }
  /** Carried out now, answered after this long. */
  | { readonly answersAfterMs: number }
  /** Carried out now, answered when this settles. */
  | { readonly answersAfter: Promise<unknown> }
  /** Only this step of its list: not carried out and answered as a fault, carried out and answered as a fault, or to be sent again. */
  | { readonly step: 'refuse' | 'lose' | 'again' }

type CallFate = Exclude<Fate, { readonly step: string }>

/** One step that was sent, or another call. */
export interface Sent {
  readonly method: Method
  /** Steps of one call have one number. */
  readonly call: number
  readonly step: Step | null
  /** What the step is about. */
  readonly claim: ClaimId | null
}

/** How much a backend says it bears. */
export type ScriptedLimits = Partial<Pick<Backend, 'mostSteps' | 'callsAtOnce'>>

/** The error of a call that was refused or whose reply was lost. */
export class LinkError extends Error {
  override readonly name = 'LinkError'
}

/** A real backend behind a link that fails as told, and that notes what is sent over it. */
export class ScriptedBackend implements Backend {
  readonly kind: string
  readonly beatMs: number
  readonly mostSteps: number
  readonly callsAtOnce: number
  readonly results: ResultStore
  /** Everything sent, in order. */
  readonly sent: Sent[] = []
  /** What happens to everything that {@link next} says nothing about. */
  fate: Fate | ((method: Method, step: Step | null) => Fate) = 'pass'
  /** How many calls, answers and pushes are on their way. */
  delayed = 0
  /** How many lists of steps were sent and have no answer yet, and the most there were at once. */
  underWay = 0
  mostUnderWay = 0
  /** What happens to each push. */
  onPush: (event: StoreEvent, deliver: (event: StoreEvent) => void) => void = (event, deliver) => deliver(event)

  readonly #inner: Backend
  readonly #clock: Clock
  readonly #next = new Map<Method, Fate[]>()
  #calls = 0
  #listener: (event: StoreEvent) => void = () => {}

  constructor(inner: Backend, clock: Clock, limits: ScriptedLimits = {}) {
    this.#inner = inner
    this.#clock = clock
    this.kind = inner.kind
    this.beatMs = inner.beatMs
    this.mostSteps = limits.mostSteps ?? inner.mostSteps
    this.callsAtOnce = limits.callsAtOnce ?? inner.callsAtOnce
    this.results = { watch: claim => this.#watch(claim) }
  }

  /** The next of this method meet these fates, one each. A fate of a call is that of every step in it. */
  next(method: Method, ...fates: Fate[]): void {
    this.#next.set(method, [...(this.#next.get(method) ?? []), ...fates])
  }

  /** From now on everything passes. */
  calm(): void {
    this.#next.clear()
    this.fate = 'pass'
  }

  /** How many steps and other calls were sent, of one method or of all. */
  count(method?: Method): number {
    return this.sent.filter(sent => method === undefined || sent.method === method).length
  }

  /** The lists that were sent, by what each step does: `['acquire a', 'release b']`. */
  lists(): readonly (readonly string[])[] {
    const lists = new Map<number, string[]>()
    for (const { call, step, method, claim } of this.sent) {
      if (step !== null) lists.set(call, [...(lists.get(call) ?? []), `${method} ${claim?.name}`])
    }
    return [...lists.values()]
  }

  /** Pushes to the client, as if the datastore had. */
  push(event: StoreEvent): void {
    this.#listener(event)
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#listener = listener
    this.#inner.open(client, event => this.onPush(event, listener))
  }

  run(steps: readonly Step[]): Promise<Answers> {
    this.#calls += 1
    const fates = steps.map(step => {
      const claim = 'claim' in step ? step.claim : step
      this.sent.push({ method: step.kind, call: this.#calls, step, claim })
      return this.#fateOf(step.kind, step)
    })
    const whole = fates.find(isOfCall)
    if (whole === 'throw') throw new LinkError(`${steps[0]?.kind} threw`)
    this.underWay += 1
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay)
    const answers = this.#meet(whole ?? 'pass', steps[0]?.kind ?? 'acquire', () => this.#run(steps, fates))
    const landed = () => {
      this.underWay -= 1
    }
    answers.then(landed, landed)
    return answers
  }

  inspect(name: string): Promise<LockState | null> {
    return this.#send('inspect', () => this.#inner.inspect(name))
  }

  list(prefix: string): AsyncIterable<LockState> {
    const states = this.#inner.list(prefix)[Symbol.asyncIterator]()
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => this.#send('list', () => states.next()),
        return: async () => (await states.return?.()) ?? { done: true, value: undefined },
      }),
    }
  }

  close(): Promise<void> {
    return this.#send('close', () => this.#inner.close())
  }

  /** Runs something on the link after this long. */
  later(ms: number, run: () => void): void {
    this.delayed += 1
    this.#clock.setTimer(ms, () => {
      this.delayed -= 1
      run()
    })
  }

  #watch(claim: ClaimId): Promise<WatchReply> {
    const { results } = this.#inner
    if (results === undefined) throw new Error('the backend behind the link keeps no results')
    return this.#send('watch', () => results.watch(claim))
  }

  #send<T>(method: Method, run: () => Promise<T>): Promise<T> {
    this.#calls += 1
    this.sent.push({ method, call: this.#calls, step: null, claim: null })
    const fate = this.#fateOf(method, null)
    if (fate === 'throw') throw new LinkError(`${method} threw`)
    return this.#meet(isOfCall(fate) ? fate : 'pass', method, run)
  }

  #fateOf(method: Method, step: Step | null): Fate {
    return this.#next.get(method)?.shift() ?? (typeof this.fate === 'function' ? this.fate(method, step) : this.fate)
  }

  /** Those steps of a list that are carried out, and the answers of all. */
  async #run(steps: readonly Step[], fates: readonly Fate[]): Promise<Answers> {
    const again = new Set<string>()
    const fateOf = (step: Step, i: number): 'refuse' | 'lose' | 'again' | 'pass' => {
      const { name } = 'claim' in step ? step.claim : step
      const fate = fates[i] as Fate
      const own = typeof fate === 'object' && 'step' in fate ? fate.step : 'pass'
      // What comes after a step that is to be sent again, of the same lock, is sent again too.
      if (own === 'again') again.add(name)
      return again.has(name) ? 'again' : own
    }
    const mine = steps.map(fateOf)
    const done = steps.filter((_, i) => mine[i] === 'pass' || mine[i] === 'lose')
    const { steps: answers, handed } = await this.#inner.run(done)
    let k = 0
    const all = mine.map((fate, i): Answer => {
      const error = new LinkError(`${steps[i]?.kind} failed`)
      const answer = fate === 'pass' || fate === 'lose' ? (answers[k++] as Answer) : null
      if (fate === 'again') return { status: 'again' }
      return fate === 'pass' && answer !== null ? answer : { status: 'fault', error }
    })
    return { steps: all, handed }
  }

  async #meet<T>(fate: Exclude<CallFate, 'throw'>, method: Method, run: () => Promise<T>): Promise<T> {
    if (typeof fate === 'object' && 'arrivesAfterMs' in fate) await this.#passed(fate.arrivesAfterMs)
    if (fate === 'drop') return await new Promise<never>(() => {})
    if (fate === 'refuse') throw new LinkError(`${method} was refused`)
    const answer = run()
    if (fate === 'pass') return await answer
    if (fate === 'twice') return await answer.then(run)
    if (typeof fate === 'object') {
      if ('answersAfterMs' in fate) await this.#passed(fate.answersAfterMs)
      else if ('answersAfter' in fate) await fate.answersAfter
      return await answer
    }
    await answer
    if (fate === 'swallow') return await new Promise<never>(() => {})
    throw new LinkError(`the answer to ${method} was lost`)
  }

  #passed(ms: number): Promise<void> {
    return new Promise(resolve => this.later(ms, resolve))
  }
}

function isOfCall(fate: Fate): fate is CallFate {
  return fate !== 'pass' && !(typeof fate === 'object' && 'step' in fate)
}
