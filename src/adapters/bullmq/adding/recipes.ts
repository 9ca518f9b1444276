import type { JobStrategy } from '../../../index.js'
import { type TermFlags, termsText } from '../lock/terms.js'
import type { Definition } from '../options/definition.js'
import { type Actions, actionsInFlow, actionsOf, whatToDo } from './actions.js'

/** How a job is added: with one strategy; with one that is decided when a live job is met (`null`); or as part of a flow. */
export type How = JobStrategy | null | 'flow'

/** What is the same for all jobs of a definition that are added in one way. */
export interface Recipe {
  readonly actions: Actions
  /** For the script that adds the job. */
  readonly todo: string
  /** The terms, but for the name of the lock: where its steps are part of BullMQ's scripts, and where they are not. */
  readonly fused: string
  readonly apart: string
}

/** Makes each recipe once. */
export class Recipes {
  readonly #prefix: string
  readonly #made = new Map<Definition, Map<How, Recipe>>()

  /** @param prefix what the keys of locks on the queue's Redis start with */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  of(definition: Definition, how: How): Recipe {
    let recipes = this.#made.get(definition)
    if (recipes === undefined) {
      recipes = new Map()
      this.#made.set(definition, recipes)
    }
    let recipe = recipes.get(how)
    if (recipe === undefined) {
      const actions = how === 'flow' ? actionsInFlow(definition) : actionsOf(definition, how)
      // Who asks first what to do changes nothing, as who refuses.
      const strategy = how === 'flow' ? 'delay' : (how ?? 'reject')
      recipe = {
        actions,
        todo: whatToDo(definition, actions),
        fused: this.termsOf(definition, strategy, {}),
        apart: this.termsOf(definition, strategy, { apart: true }),
      }
      recipes.set(how, recipe)
    }
    return recipe
  }

  /** The terms of a job, but for the name of its lock. */
  termsOf(definition: Definition, strategy: JobStrategy, flags: TermFlags): string {
    const { mode, limit, expiryMs, maxRunMs, stops, releaseOnFailure } = definition
    const all = { ...flags, stops, freesOnFailure: releaseOnFailure }
    const prefix = flags.apart === true ? '' : this.#prefix
    return termsText({ mode, strategy, flags: all, limit, expiryMs, maxRunMs, prefix })
  }
}
