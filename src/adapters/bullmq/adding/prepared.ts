import type { JobStrategy } from '../../../index.js'
import type { Answer } from '../fused/answer.js'
import type { Adding } from '../fused/fused.js'
import type { Actions } from './actions.js'
import type { Item, Trigger } from './trigger.js'

/** A job that is to be added, or that another one stands for. */
export interface Prepared {
  readonly trigger: Trigger
  /** `null`: it is decided when a live job is met. */
  readonly strategy: JobStrategy | null
  readonly actions: Actions
  /** Where its lock is taken by the script that adds it. */
  readonly adding: Adding | null
  /** What came of it before; `null`: not known yet, or nothing was asked. */
  readonly answer: Answer | null
  /** `null`: nothing is to be added. */
  readonly item: Item | null
  readonly guaranteed: boolean
  /** What it failed with. */
  readonly error: unknown
}
