import type { ClaimId, Step } from '../backend.js'

/** The claim that a step is about. */
export function claimOf(step: Step): ClaimId {
  return step.kind === 'acquire' || step.kind === 'trigger' ? step.claim : step
}
