import type {
  AcquireAnswer,
  AcquireStep,
  Again,
  BeginAnswer,
  BeginStep,
  Claim,
  ClaimId,
  Fault,
  KeptResult,
  ReleaseAnswer,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  Step,
  TriggerAnswer,
  TriggerStep,
} from '../../backend.js'

type AnswerOf<S extends Step> = S extends AcquireStep
  ? AcquireAnswer
  : S extends RenewStep
    ? RenewAnswer
    : S extends ReleaseStep
      ? ReleaseAnswer
      : S extends TriggerStep
        ? TriggerAnswer
        : S extends BeginStep
          ? BeginAnswer
          : never

/** What a step of this kind comes to when it is done. */
export type StepOf<S extends Step> = Exclude<AnswerOf<S>, Again | Fault>

/** Not queued and replacing nobody, unless told otherwise. */
export function acquire(
  claim: Claim,
  { ticket = null, replaces = null }: { ticket?: 'new' | number | null; replaces?: string | null } = {},
): AcquireStep {
  return { kind: 'acquire', claim, ticket, replaces }
}

/** With the ttl of the claim. */
export function renew({ name, owner, ttlMs }: Claim, fence: number | null = null): RenewStep {
  return { kind: 'renew', name, owner, ttlMs, fence }
}

/** How a trigger differs from one that does nothing where it is not granted. */
export type TriggerOptions = Partial<Omit<TriggerStep, 'kind' | 'claim'>>

/** What is displaced is kept to the end of the test, unless told otherwise. */
export function trigger(claim: Claim, options: TriggerOptions = {}): TriggerStep {
  const plain = { running: 'meet', pending: 'meet', note: null, begins: false, debounce: null, without: null } as const
  return { kind: 'trigger', claim, ...plain, keepMs: 60_000, ...options }
}

export function begin({ name, owner }: ClaimId): BeginStep {
  return { kind: 'begin', name, owner }
}

export function release({ name, owner }: ClaimId, result: KeptResult | null = null): ReleaseStep {
  return { kind: 'release', name, owner, result }
}
