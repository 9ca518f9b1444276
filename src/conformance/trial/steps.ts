import type {
  AcquireAnswer,
  AcquireStep,
  Again,
  Claim,
  ClaimId,
  Fault,
  KeptResult,
  ReleaseAnswer,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  Step,
} from '../../backend.js'

type AnswerOf<S extends Step> = S extends AcquireStep
  ? AcquireAnswer
  : S extends RenewStep
    ? RenewAnswer
    : S extends ReleaseStep
      ? ReleaseAnswer
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

export function release({ name, owner }: ClaimId, result: KeptResult | null = null): ReleaseStep {
  return { kind: 'release', name, owner, result }
}
