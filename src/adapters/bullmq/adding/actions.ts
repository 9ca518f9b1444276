import type { TriggerAction } from '../../../index.js'
import { type Decision, decide, isGated } from '../../../internal/job-decision.js'
import type { JobStrategy } from '../../../internal/job-modes.js'
import type { Definition } from '../options/definition.js'

/** What a trigger is to do, by its definition and strategy, as far as it does not depend on its data. */
export interface Actions extends Decision {
  /** Its run is pending until a worker takes it up, so that others can add to it or take its place. */
  readonly begins: boolean
  /** What it adds to a pending run is left there to be merged. Else it takes the place of that run's data. */
  readonly notes: boolean
  /** A free lock is taken without whatever else a claim can ask for. */
  readonly simple: boolean
}

/** @param strategy `null`: one that is decided when a live job is met */
export function actionsOf(definition: Definition, strategy: JobStrategy | null): Actions {
  const { mode, merge, limit, debounce, describe } = definition
  const decided = decide(mode, strategy ?? 'join', true)
  // A job of this mode gives its lock up when it starts: who has it is queued.
  const running = mode === 'untilExecuting' ? decided.pending : decided.running
  const changes = strategy === null || strategy === 'rerun' || strategy === 'replace'
  const begins = mode !== 'untilExpired' && (changes || mode === 'untilAndWhileExecuting')
  const simple = limit === null && debounce === null && describe === null
  return { running, pending: decided.pending, begins, notes: merge !== null && strategy === 'rerun', simple }
}

/** In a flow a job that its parent waits for cannot be left out: it waits for the live one. */
export function actionsInFlow(definition: Definition): Actions {
  const actions = actionsOf(definition, 'delay')
  // Nobody takes its place, then.
  const begins = actions.begins && definition.strategy !== 'replace'
  return { ...actions, running: 'wait', pending: 'wait', begins }
}

/**
 * What a parent waits for cannot be left out, either: it has a run of its own where another's would stand for it, and is never the
 * pending run, whose place others take.
 */
export function actionsForParent(actions: Actions): Actions {
  const running = actions.running === 'follow' ? 'follow' : 'wait'
  return { ...actions, running, pending: 'wait', begins: actions.begins && actions.pending !== 'displace' }
}

const LETTERS: { readonly [action in TriggerAction]: string } = { meet: 'm', wait: 'w', follow: 'f', displace: 'd' }

/** The same for the script that adds the job, see `fused/scripts/add.lua`. */
export function whatToDo(definition: Definition, { running, pending, begins, notes, simple }: Actions): string {
  const { mode, debounce } = definition
  const letters = [
    simple ? (mode === 'whileExecuting' ? 'w' : begins ? 'b' : 's') : 'm',
    LETTERS[running],
    LETTERS[pending],
    begins ? 'b' : '-',
    notes ? 'n' : '-',
    isGated(mode) ? 'g' : '-',
  ]
  return letters.join('') + (debounce === null ? '' : `,${debounce.waitMs},${debounce.maxWaitMs}`)
}
