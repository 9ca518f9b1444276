import type {
  AcquireOptions,
  AcquireReply,
  Backend,
  Claim,
  Clock,
  GrantEvent,
  KeptResult,
  LockState,
  ReleaseReply,
  RenewReply,
  WatchReply,
} from 'soloist'

export type Method = 'acquire' | 'renew' | 'release' | 'watch' | 'inspect' | 'list' | 'close'

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

/** The error of a call that was refused or whose reply was lost. */
export class LinkError extends Error {
  override readonly name = 'LinkError'
}

/** A real backend behind a link that fails as told, and that notes what is sent over it. */
export class ScriptedBackend implements Backend {
  readonly kind: string
  readonly beatMs: number
  /** Everything sent, in order. */
  readonly sent: { readonly method: Method; readonly claims: readonly Claim[]; readonly options: AcquireOptions }[] = []
  /** What happens to every call that {@link next} says nothing about. */
  fate: Fate | ((method: Method) => Fate) = 'pass'
  /** How many calls, answers and pushes are on their way. */
  delayed = 0
  /** What happens to each push. */
  onPush: (event: GrantEvent, deliver: (event: GrantEvent) => void) => void = (event, deliver) => deliver(event)

  readonly #inner: Backend
  readonly #clock: Clock
  readonly #next = new Map<Method, Fate[]>()
  #listener: (event: GrantEvent) => void = () => {}

  constructor(inner: Backend, clock: Clock) {
    this.#inner = inner
    this.#clock = clock
    this.kind = inner.kind
    this.beatMs = inner.beatMs
  }

  /** The next calls of this method meet these fates, one each. */
  next(method: Method, ...fates: Fate[]): void {
    this.#next.set(method, [...(this.#next.get(method) ?? []), ...fates])
  }

  /** How many calls were sent, of one method or of all. */
  count(method?: Method): number {
    return this.sent.filter(call => method === undefined || call.method === method).length
  }

  /** Pushes to the client, as if the datastore had. */
  push(event: GrantEvent): void {
    this.#listener(event)
  }

  acquire(claim: Claim, options: AcquireOptions = {}): Promise<AcquireReply> {
    return this.#send('acquire', [claim], () => this.#inner.acquire(claim, options), options)
  }

  renew(claims: readonly Claim[]): Promise<readonly RenewReply[]> {
    return this.#send('renew', claims, () => this.#inner.renew(claims))
  }

  release(claim: Claim, result?: KeptResult): Promise<ReleaseReply> {
    return this.#send('release', [claim], () => this.#inner.release(claim, result))
  }

  watch(name: string, owner: string, client: string): Promise<WatchReply> {
    return this.#send('watch', [], () => this.#inner.watch(name, owner, client))
  }

  onGrant(listener: (event: GrantEvent) => void): void {
    this.#listener = listener
    this.#inner.onGrant(event => this.onPush(event, listener))
  }

  inspect(name: string): Promise<LockState | null> {
    return this.#send('inspect', [], () => this.#inner.inspect(name))
  }

  list(prefix: string): AsyncIterable<LockState> {
    const states = this.#inner.list(prefix)[Symbol.asyncIterator]()
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => this.#send('list', [], () => states.next()),
        return: async () => (await states.return?.()) ?? { done: true, value: undefined },
      }),
    }
  }

  close(): Promise<void> {
    return this.#send('close', [], () => this.#inner.close())
  }

  #send<T>(method: Method, claims: readonly Claim[], run: () => Promise<T>, options: AcquireOptions = {}): Promise<T> {
    this.sent.push({ method, claims, options })
    const fate = this.#next.get(method)?.shift() ?? (typeof this.fate === 'function' ? this.fate(method) : this.fate)
    if (fate === 'throw') throw new LinkError(`${method} threw`)
    return this.#meet(fate, method, run)
  }

  async #meet<T>(fate: Exclude<Fate, 'throw'>, method: Method, run: () => Promise<T>): Promise<T> {
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

  /** Runs something on the link after this long. */
  later(ms: number, run: () => void): void {
    this.delayed += 1
    this.#clock.setTimer(ms, () => {
      this.delayed -= 1
      run()
    })
  }

  #passed(ms: number): Promise<void> {
    return new Promise(resolve => this.later(ms, resolve))
  }
}
