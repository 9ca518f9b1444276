import { setImmediate as turn } from 'node:timers/promises'
import type { BeginAnswer, ClaimId, Note, Seen, TriggerAnswer, TriggerStep } from 'soloist'
import type { Mutant, Stepwise } from './mutant.js'

const NOBODY: Seen = { running: null, pending: null, waiting: null }

const triggers: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'a run that was granted is not pending', change: right => asks(right, () => ({ begins: false })) },
  { fault: 'a trigger sees nobody', change: right => sees(right, () => NOBODY) },
  {
    fault: 'a pending run that holds the lock is seen as one that executes',
    change: right => sees(right, seen => ({ ...seen, running: seen.running ?? seen.pending, pending: null })),
  },
  {
    fault: 'the first that waits is not seen',
    change: right => sees(right, seen => ({ ...seen, waiting: null })),
  },
  {
    fault: 'a trigger that is sent again sees itself',
    change: (right, { results }) => ({
      trigger: async step => {
        const answer = await right.trigger(step)
        const { owner } = step.claim
        const again = results.has(owner)
        results.set(owner, '')
        return again && answer.status === 'granted'
          ? { ...answer, seen: { ...answer.seen, running: { owner, ageMs: 0 } } }
          : answer
      },
    }),
  },
  {
    fault: 'a trigger passes those who wait',
    change: right => ({
      trigger: async step => {
        const answer = await right.trigger(step)
        const holders = (await right.inspect(step.claim.name))?.holders ?? []
        const passes = answer.status === 'met' && answer.seen.waiting !== null && holders[0]?.mode === 'shared'
        return passes ? { status: 'granted', fence: Date.now() * 1000, seen: answer.seen, pending: false } : answer
      },
    }),
  },
  {
    fault: 'a run is held for ever',
    change: right => ({ trigger: step => right.trigger({ ...step, claim: { ...step.claim, ttlMs: null } }) }),
  },
]

const actions: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'who is only to meet a run leaves its note', change: right => swaps(right, 'meet', 'follow') },
  { fault: 'who is to wait adds to the pending run', change: right => swaps(right, 'wait', 'follow') },
  { fault: 'who is to add to the pending run displaces it', change: right => swaps(right, 'follow', 'displace') },
  { fault: 'who is to displace the pending run adds to it', change: right => swaps(right, 'displace', 'follow') },
  {
    fault: 'one action is for both states',
    change: right => asks(right, ({ running }) => ({ pending: running })),
  },
  {
    fault: 'it is not told with which run a note was left',
    change: right => answers(right, answer => (answer.status === 'met' ? { ...answer, noted: null } : answer)),
  },
]

const pendingRuns: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'each trigger has a pending run of its own', change: right => swaps(right, 'follow', 'wait') },
  {
    fault: 'looking whether a run is pending and becoming it are two steps',
    change: right => ({
      trigger: async step => {
        const none = ((await right.inspect(step.claim.name))?.pending ?? null) === null
        await turn()
        return await right.trigger(none ? { ...step, pending: 'wait' } : step)
      },
    }),
  },
  {
    fault: 'a claim that displaces another goes to the end of the queue',
    change: right => ({
      trigger: async step => {
        const { name } = step.claim
        const owner = (await right.inspect(name))?.pending?.owner
        if (owner === undefined || step.pending !== 'displace') return await right.trigger(step)
        return await right.trigger({ ...step, without: owner, running: 'wait', begins: true })
      },
    }),
  },
  {
    fault: 'who waits for a run of its own loses its note',
    change: right =>
      asks(right, ({ running, pending, note }) => ({ note: running === 'wait' || pending === 'wait' ? null : note })),
  },
  {
    fault: 'who waits without a begin is pending all the same',
    change: right => ({
      acquire: async (claim, how) => {
        if (how.ticket !== 'new') return await right.acquire(claim, how)
        const rest = { begins: true, note: null, debounce: null, without: null, keepMs: 1 }
        const answer = await right.trigger({ kind: 'trigger', claim, running: 'wait', pending: 'wait', ...rest })
        return answer.status === 'met' || answer.status === 'displaced' ? await right.acquire(claim, how) : answer
      },
    }),
  },
]

const backs: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'a note is taken back from a run whose owner was told of it',
    change: right => ({
      begin: async step => {
        const answer = await right.begin(step)
        return step.takesBack !== undefined && answer.status === 'begun' ? { ...answer, notes: [] } : answer
      },
    }),
  },
  {
    fault: 'who takes a note back begins the run',
    change: right => ({ begin: ({ kind, name, owner }) => right.begin({ kind, name, owner }) }),
  },
  {
    fault: 'no word is kept of a run that never began',
    change: right => ({
      begin: async step => {
        const answer = await right.begin(step)
        return answer.status === 'displaced' && answer.by === '' ? { status: 'lost' } : answer
      },
    }),
  },
]

/** Whether the run of a step waits. */
const waits = async (right: Stepwise, { name, owner }: ClaimId) =>
  (await right.inspect(name))?.waiters.some(waiter => waiter.owner === owner) === true

const closes: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'a run that waits is not closed',
    change: right => ({
      begin: async step =>
        step.takesBack !== undefined && (await waits(right, step)) ? { status: 'begun', notes: [] } : right.begin(step),
    }),
  },
  {
    fault: 'who takes a note back from a run that waits ends it',
    change: right => ({
      begin: async step => {
        const answer = await right.begin(step)
        if (step.takesBack !== undefined && (await waits(right, step))) await right.release(step, null)
        return answer
      },
    }),
  },
]

const notes: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'the last note comes first', change: right => begins(right, notes => [...notes].reverse()) },
  {
    fault: 'notes come by owner',
    change: right => begins(right, notes => [...notes].sort((a, b) => (a.owner < b.owner ? -1 : 1))),
  },
  {
    fault: 'notes are cut at 1,000 characters',
    change: right => begins(right, notes => notes.map(({ owner, text }) => ({ owner, text: text.slice(0, 1_000) }))),
  },
  { fault: 'an empty note is none', change: right => asks(right, ({ note }) => ({ note: note === '' ? null : note })) },
  {
    fault: 'a note that is sent again is left again',
    change: (right, { results }) => ({
      trigger: step => {
        const { claim } = step
        const owner = step.pending === 'follow' && results.has(claim.owner) ? `${claim.owner} again` : claim.owner
        results.set(claim.owner, '')
        return right.trigger({ ...step, claim: { ...claim, owner } })
      },
    }),
  },
  {
    fault: 'a run that begins again has no notes',
    change: (right, { results }) => ({
      begin: async step => {
        const answer = await right.begin(step)
        if (answer.status !== 'begun' || !results.has(step.owner)) {
          results.set(step.owner, '')
          return answer
        }
        return { ...answer, notes: [] }
      },
    }),
  },
]

const begin: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'a trigger that is sent again is not told that its run has to begin',
    change: right => answers(right, answer => (answer.status === 'granted' ? { ...answer, pending: false } : answer)),
  },
  {
    fault: 'a begin only looks',
    change: right => ({
      begin: async step => {
        const holders = (await right.inspect(step.name))?.holders ?? []
        return holders.some(({ owner }) => owner === step.owner)
          ? { status: 'begun', notes: [] }
          : await right.begin(step)
      },
    }),
  },
  {
    fault: 'what is not held begins all the same',
    change: right => ({
      begin: async step => {
        const answer = await right.begin(step)
        return answer.status === 'lost' ? { status: 'begun', notes: [] } : answer
      },
    }),
  },
  {
    fault: 'a begin renews',
    change: right => ({
      begin: async step => {
        await right.renew({ ...step, kind: 'renew', ttlMs: 60_000, fence: null })
        return await right.begin(step)
      },
    }),
  },
  {
    fault: 'a renewal begins',
    change: right => ({
      renew: async step => {
        await right.begin({ kind: 'begin', name: step.name, owner: step.owner })
        return await right.renew(step)
      },
    }),
  },
]

const ends: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'notes of earlier runs are told again',
    change: (right, { results }) => ({
      begin: async step => {
        const answer = await right.begin(step)
        if (answer.status !== 'begun') return answer
        const before = JSON.parse(results.get(step.name) ?? '[]') as readonly Note[]
        const fresh = answer.notes.filter(note => !before.some(({ text }) => text === note.text))
        const all = [...before, ...fresh]
        results.set(step.name, JSON.stringify(all))
        return { status: 'begun', notes: all }
      },
    }),
  },
  {
    fault: 'a lock is in use as long as a run was pending once',
    change: (right, { results }) => ({
      inspect: async name => {
        const state = await right.inspect(name)
        if (state !== null) {
          if (state.pending !== null) results.set(name, '')
          return state
        }
        return results.has(name)
          ? { name, holding: 0, holders: [], pending: null, waiting: 0, waiters: [], atMs: Date.now() }
          : null
      },
      trigger: async step => {
        const answer = await right.trigger(step)
        if ((await right.inspect(step.claim.name))?.pending) results.set(step.claim.name, '')
        return answer
      },
    }),
  },
]

const lists: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'triggers of a list are done last',
    change: right => ({
      run: async steps => {
        const order = [...steps].sort((a, b) => Number(a.kind === 'trigger') - Number(b.kind === 'trigger'))
        const answers = await right.run(order)
        return steps.map(step => answers[order.indexOf(step)] ?? { status: 'fault', error: 'none' })
      },
    }),
  },
  {
    fault: 'begins of a list are not done',
    change: right => ({
      run: async steps => {
        const others = steps.filter(({ kind }) => kind !== 'begin')
        const answers = await right.run(others)
        return steps.map(step => answers[others.indexOf(step)] ?? { status: 'begun', notes: [] })
      },
    }),
  },
]

/** Backends that trigger, note or begin wrongly. */
export const runs: readonly Mutant[] = [
  ...of('triggers', triggers),
  ...of('what a trigger does', actions),
  ...of('one pending run', pendingRuns),
  ...of('notes', notes),
  ...of('begin', begin),
  ...of('notes that are taken back', backs),
  ...of('runs that are closed', closes),
  ...of('runs at their end', ends),
  ...of('lists with runs', lists),
]

export function of(caughtBy: string, mutants: readonly Omit<Mutant, 'caughtBy'>[]): readonly Mutant[] {
  return mutants.map(mutant => ({ ...mutant, caughtBy }))
}

/** Triggers that ask for something else. */
export function asks(right: Stepwise, change: (step: TriggerStep) => Partial<TriggerStep>): Partial<Stepwise> {
  return { trigger: step => right.trigger({ ...step, ...change(step) }) }
}

/** Triggers that take one action for another. */
function swaps(right: Stepwise, from: TriggerStep['running'], to: TriggerStep['running']): Partial<Stepwise> {
  const swapped = (action: TriggerStep['running']) => (action === from ? to : action)
  return asks(right, ({ running, pending }) => ({ running: swapped(running), pending: swapped(pending) }))
}

/** Triggers that are answered otherwise. */
export function answers(right: Stepwise, change: (answer: TriggerAnswer) => TriggerAnswer): Partial<Stepwise> {
  return { trigger: async step => change(await right.trigger(step)) }
}

function sees(right: Stepwise, change: (seen: Seen) => Seen): Partial<Stepwise> {
  return answers(right, answer => ('seen' in answer ? { ...answer, seen: change(answer.seen) } : answer))
}

function begins(right: Stepwise, change: (notes: readonly Note[]) => readonly Note[]): Partial<Stepwise> {
  return {
    begin: async (step): Promise<BeginAnswer> => {
      const answer = await right.begin(step)
      return answer.status === 'begun' ? { ...answer, notes: change(answer.notes) } : answer
    },
  }
}
