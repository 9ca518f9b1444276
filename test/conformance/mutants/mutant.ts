import type {
  AcquireAnswer,
  Answer,
  Backend,
  BeginAnswer,
  BeginStep,
  Claim,
  ClaimId,
  HandedGrant,
  KeptResult,
  LockState,
  ReleaseAnswer,
  RenewAnswer,
  RenewStep,
  ResultStore,
  Step,
  StoreEvent,
  TriggerAnswer,
  TriggerStep,
  WatchReply,
} from 'soloist'

/** How a claim is acquired. */
export interface How {
  readonly ticket: 'new' | number | null
  readonly replaces: string | null
}

/** A backend that does its steps one by one, so that each can be got wrong by itself. */
export interface Stepwise {
  acquire(claim: Claim, how: How): Promise<AcquireAnswer>
  renew(step: RenewStep): Promise<RenewAnswer>
  release(claim: ClaimId, result: KeptResult | null): Promise<ReleaseAnswer>
  trigger(step: TriggerStep): Promise<TriggerAnswer>
  begin(step: BeginStep): Promise<BeginAnswer>
  /** What is told of a grant in an answer; `null`: nothing. */
  hand(grant: HandedGrant): HandedGrant | null
  /** All steps of a list. */
  run(steps: readonly Step[]): Promise<readonly Answer[]>
  watch(claim: ClaimId): Promise<WatchReply>
  open(client: string, listener: (event: StoreEvent) => void): void
  inspect(name: string): Promise<LockState | null>
  list(prefix: string): AsyncIterable<LockState>
  close(): Promise<void>
}

/** One way to get a backend wrong. */
export interface Mutant {
  readonly fault: string
  /** The guarantee whose tests have to notice. */
  readonly caughtBy: string
  /** What the broken backend does instead; the rest is as in the backend it is made of. */
  readonly change: (right: Stepwise, shared: Shared) => Partial<Stepwise>
}

/** What all broken clients of one datastore have in common. */
export interface Shared {
  readonly listeners: ((event: StoreEvent) => void)[]
  readonly fences: Map<string, number>
  readonly limits: Map<string, number | null>
  /** Owners that released, by name and owner. */
  readonly gone: Map<string, AcquireAnswer>
  /** What was left, by whatever the fault takes for its place. */
  readonly results: Map<string, string>
  count: number
}

export function newShared(): Shared {
  return { listeners: [], fences: new Map(), limits: new Map(), gone: new Map(), results: new Map(), count: 0 }
}

/** A backend with one fault. */
export function broken(backend: Backend, shared: Shared, change: Mutant['change']): Backend {
  // Grants of the list that is being done; lists of one client are done one after the other.
  let handed: HandedGrant[] = []
  const one = async <A extends Answer>(step: Step): Promise<A> => {
    const told = await backend.run([step])
    handed.push(...told.handed)
    return told.steps[0] as A
  }
  const right: Stepwise = {
    acquire: (claim, how) => one({ kind: 'acquire', claim, ...how }),
    renew: step => one(step),
    release: ({ name, owner }, result) => one({ kind: 'release', name, owner, result }),
    trigger: step => one(step),
    begin: step => one(step),
    hand: grant => grant,
    run: async steps => {
      const answers: Answer[] = []
      for (const step of steps) answers.push(await does(step))
      return answers
    },
    watch: claim => (backend.results as ResultStore).watch(claim),
    open: (client, listener) => backend.open(client, listener),
    inspect: name => backend.inspect(name),
    list: prefix => backend.list(prefix),
    close: () => backend.close(),
  }
  const ours = { ...right, ...change(right, shared) }
  const does = (step: Step): Promise<Answer> => {
    switch (step.kind) {
      case 'acquire':
        return ours.acquire(step.claim, { ticket: step.ticket, replaces: step.replaces })
      case 'renew':
        return ours.renew(step)
      case 'release':
        return ours.release({ name: step.name, owner: step.owner }, step.result)
      case 'trigger':
        return ours.trigger(step)
      case 'begin':
        return ours.begin(step)
    }
  }
  let last: Promise<unknown> = Promise.resolve()
  return {
    kind: backend.kind,
    beatMs: backend.beatMs,
    mostSteps: backend.mostSteps,
    callsAtOnce: backend.callsAtOnce,
    results: { watch: claim => ours.watch(claim) },
    open: (client, listener) => ours.open(client, listener),
    run: steps => {
      const done = last.then(async () => {
        handed = []
        const answers = await ours.run(steps)
        return { steps: answers, handed: handed.flatMap(grant => ours.hand(grant) ?? []) }
      })
      last = done.catch(() => null)
      return done
    },
    inspect: name => ours.inspect(name),
    list: prefix => ours.list(prefix),
    close: () => ours.close(),
  }
}
