import type { Answer, Step } from 'soloist'
import type { Mutant, Stepwise } from './mutant.js'

const lists: readonly Mutant[] = [
  {
    fault: 'releases of a list are done first',
    caughtBy: 'lists of steps',
    change: right => ({ run: steps => sorted(right, steps, ({ kind }) => (kind === 'release' ? 0 : 1)) }),
  },
  {
    fault: 'releases of a list are done last',
    caughtBy: 'lists of steps',
    change: right => ({ run: steps => sorted(right, steps, ({ kind }) => (kind === 'release' ? 1 : 0)) }),
  },
  {
    fault: 'answers come in another order',
    caughtBy: 'lists of steps',
    change: right => ({ run: async steps => [...(await right.run(steps))].reverse() }),
  },
  {
    fault: 'a list is done up to a hundred',
    caughtBy: 'lists of steps',
    change: right => ({
      run: async steps => {
        const answers = await right.run(steps.slice(0, 100))
        return steps.map((_, i) => answers[i] ?? { status: 'granted', fence: 1 })
      },
    }),
  },
  {
    fault: 'of two steps of one lock in a list the second is not done',
    caughtBy: 'lists of steps',
    change: right => ({
      run: async steps => {
        const seen = new Set<string>()
        const fresh = steps.filter(step => {
          const { name } = 'claim' in step ? step.claim : step
          return !seen.has(name) && seen.add(name)
        })
        const answers = await right.run(fresh)
        return steps.map(step => answers[fresh.indexOf(step)] ?? { status: 'released', held: true })
      },
    }),
  },
  {
    fault: 'a list that is sent again queues again',
    caughtBy: 'lists of steps',
    change: (right, shared) => ({
      acquire: async (claim, how) => {
        const answer = await right.acquire(claim, how)
        shared.count += 1
        const queued = answer.status === 'busy' && answer.ticket !== null
        return queued ? { ...answer, ticket: Number(answer.ticket) + shared.count } : answer
      },
    }),
  },
  {
    fault: 'who waited is held for the grant lease, also where it is told in the answer',
    caughtBy: 'lists of steps',
    change: right => ({
      release: async (claim, result) => {
        const answer = await right.release(claim, result)
        for (const { owner } of (await right.inspect(claim.name))?.holders ?? []) {
          await right.renew({ kind: 'renew', name: claim.name, owner, ttlMs: 5_000, fence: null })
        }
        return answer
      },
    }),
  },
  { fault: 'nobody is told of a grant in an answer', caughtBy: 'lists of steps', change: () => ({ hand: () => null }) },
  {
    fault: 'a grant in an answer has another fence',
    caughtBy: 'lists of steps',
    change: () => ({ hand: grant => ({ ...grant, fence: grant.fence - 1 }) }),
  },
  {
    fault: 'a release is only that of the client that claimed',
    caughtBy: 'lists of steps',
    change: right => {
      const mine = new Set<string>()
      return {
        acquire: (claim, how) => {
          mine.add(claim.owner)
          return right.acquire(claim, how)
        },
        release: async (claim, result) =>
          mine.has(claim.owner) ? await right.release(claim, result) : { status: 'released', held: false },
      }
    },
  },
]

const renewal: readonly Mutant[] = [
  {
    fault: 'a list ends at the first renewal that is lost',
    caughtBy: 'renewal',
    change: right => ({
      run: async steps => {
        const answers = await right.run(steps)
        const lost = answers.findIndex(({ status }) => status === 'lost')
        return lost < 0 ? answers : answers.map((answer, i) => (i < lost ? answer : { status: 'lost' }))
      },
    }),
  },
  {
    fault: 'a list has one ttl',
    caughtBy: 'renewal',
    change: right => ({
      run: steps => {
        const [first] = steps
        const ttlMs = first?.kind === 'renew' ? first.ttlMs : null
        return right.run(steps.map(step => (step.kind === 'renew' ? { ...step, ttlMs } : step)))
      },
    }),
  },
  {
    fault: 'answers come in another order',
    caughtBy: 'renewal',
    change: right => ({
      run: async steps => [...(await right.run(steps))].sort(({ status }) => (status === 'lost' ? -1 : 1)),
    }),
  },
  {
    fault: 'the fence that a renewal brings is believed',
    caughtBy: 'renewal',
    change: right => ({
      renew: async step => {
        const answer = await right.renew(step)
        return answer.status === 'held' && step.fence !== null ? { ...answer, fence: step.fence } : answer
      },
    }),
  },
  {
    fault: 'a pushed grant that is confirmed does not tell its fence',
    caughtBy: 'renewal',
    change: right => ({
      renew: async step => {
        const answer = await right.renew(step)
        return answer.status === 'held' ? { ...answer, fence: null } : answer
      },
    }),
  },
  {
    fault: 'the fence and the age are never noted',
    caughtBy: 'renewal',
    change: right => ({
      inspect: async name => {
        const state = await right.inspect(name)
        const unknown = { fence: 0, acquiredAtMs: null }
        return state && { ...state, holders: state.holders.map(holder => ({ ...holder, ...unknown })) }
      },
    }),
  },
  {
    fault: 'a renewal shows the fence of the holder before',
    caughtBy: 'renewal',
    change: (right, { fences }) => ({
      renew: async step => {
        const answer = await right.renew(step)
        if (answer.status !== 'held' || answer.fence === null) return answer
        const fence = fences.get(step.name) ?? answer.fence
        fences.set(step.name, fence)
        return { ...answer, fence }
      },
    }),
  },
]

/** Backends that do the steps of a list, or renewals, wrongly. */
export const listing: readonly Mutant[] = [...lists, ...renewal]

/** Does the steps in another order, and answers in the right one. */
async function sorted(
  right: Stepwise,
  steps: readonly Step[],
  place: (step: Step) => number,
): Promise<readonly Answer[]> {
  const order = [...steps].sort((a, b) => place(a) - place(b))
  const answers = await right.run(order)
  return steps.map(step => answers[order.indexOf(step)] as Answer)
}
