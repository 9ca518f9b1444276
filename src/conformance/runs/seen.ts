import assert from 'node:assert/strict'
import type { ClaimId, Seen, SeenRun } from '../../backend.js'
import { shown } from '../trial/client.js'

/** The claims that a trigger must have seen; those that are not named: none. */
export interface Sight {
  readonly running?: ClaimId
  readonly pending?: ClaimId
  readonly waiting?: ClaimId
}

/** Asserts what a trigger saw, and that ages are times. */
export function assertSeen({ seen }: { readonly seen: Seen }, expected: Sight): void {
  const { running, pending, waiting } = seen
  assert.deepEqual(
    { running: ownerOf(running), pending: ownerOf(pending), waiting: ownerOf(waiting) },
    {
      running: expected.running?.owner ?? null,
      pending: expected.pending?.owner ?? null,
      waiting: expected.waiting?.owner ?? null,
    },
    `what the trigger saw: ${shown(seen)}`,
  )
  for (const run of [running, pending, waiting]) {
    if (run === null || run.ageMs === null) continue
    assert.ok(Number.isFinite(run.ageMs) && run.ageMs >= 0, `${run.owner} cannot be ${run.ageMs} ms old`)
  }
}

function ownerOf(run: SeenRun | null): string | null {
  return run?.owner ?? null
}
