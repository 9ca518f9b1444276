import type { LockState } from 'soloist'
import type { Mutant, Stepwise } from './mutant.js'
import { answers, asks, of } from './runs.js'

const displaced: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'nobody is told that a run was displaced',
    change: right => ({
      open: (client, listener) => right.open(client, event => event.type !== 'ended' && listener(event)),
    }),
  },
  {
    fault: 'who watches a run that was displaced finds nothing',
    change: right => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        return reply.status === 'displaced' ? { status: 'gone' } : reply
      },
    }),
  },
  {
    fault: 'another is named than who displaced a run',
    change: right => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        return reply.status === 'displaced' ? { ...reply, by: claim.owner } : reply
      },
    }),
  },
  {
    fault: 'a run that was displaced is not told so when it begins',
    change: right => ({
      begin: async step => {
        const answer = await right.begin(step)
        return answer.status === 'displaced' ? { status: 'lost' } : answer
      },
    }),
  },
  {
    fault: 'a run that was displaced begins all the same',
    change: right => ({
      begin: async step => {
        const answer = await right.begin(step)
        return answer.status === 'displaced' ? { status: 'begun', notes: [] } : answer
      },
    }),
  },
  {
    fault: 'a trigger that is sent again is not told that it was displaced',
    change: right =>
      answers(right, answer =>
        answer.status === 'displaced'
          ? { status: 'met', seen: { running: null, pending: null, waiting: null }, noted: null }
          : answer,
      ),
  },
  {
    fault: 'a run that was displaced comes back by its ticket',
    change: right => ({
      acquire: async (claim, how) => {
        const answer = await right.acquire(claim, how)
        if (answer.status !== 'busy' || answer.ticket !== null || how.ticket === null) return answer
        return await right.acquire(claim, { ...how, ticket: 'new' })
      },
    }),
  },
  { fault: 'it is kept for ever that a run was displaced', change: right => asks(right, () => ({ keepMs: 1e9 })) },
  {
    fault: 'it is kept for a moment that a run was displaced',
    change: right => asks(right, ({ keepMs }) => ({ keepMs: Math.ceil(keepMs / 1e6) - 1 })),
  },
  {
    fault: 'whoever holds the lock is displaced',
    change: right => ({
      trigger: async step => {
        const [first] = (await right.inspect(step.claim.name))?.holders ?? []
        const without = first !== undefined && first.owner !== step.claim.owner ? first.owner : null
        return await right.trigger(
          step.pending === 'displace' && first?.mode === 'shared' ? { ...step, without } : step,
        )
      },
    }),
  },
  {
    fault: 'who displaces a granted run is always pending',
    change: right => asks(right, ({ pending, begins }) => ({ begins: begins || pending === 'displace' })),
  },
]

const debounce: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'nothing is put off', change: right => asks(right, () => ({ debounce: null })) },
  {
    fault: 'a later trigger does not move the time',
    change: right => debounces(right, (state, step) => ((state?.pending ?? null) === null ? step.debounce : null)),
  },
  {
    fault: 'a run is put off for ever',
    change: right => debounces(right, (_, { debounce }) => debounce && { ...debounce, maxWaitMs: 1e9 }),
  },
  {
    fault: 'each trigger puts a run off for the longest wait',
    change: right => debounces(right, (_, { debounce }) => debounce && { ...debounce, waitMs: debounce.maxWaitMs }),
  },
  {
    fault: 'who displaces a granted run is not put off',
    change: right => debounces(right, (state, { debounce }) => (state?.holding && state.pending ? null : debounce)),
  },
  {
    fault: 'it is not told when to ask again',
    change: right => answers(right, answer => (answer.status === 'busy' ? { ...answer, retryAfterMs: null } : answer)),
  },
  {
    fault: 'a run that was granted is put off by who adds to it',
    change: right => ({
      inspect: async name => {
        const state = await right.inspect(name)
        if (!state?.pending || state.holding === 0) return state
        return { ...state, pending: { ...state.pending, notBeforeMs: state.atMs + 1_000 } }
      },
    }),
  },
  {
    fault: 'a claim that waits for a run of its own is put off',
    change: right =>
      asks(right, ({ running, debounce }) => (debounce && running === 'wait' ? { running: 'follow' } : {})),
  },
]

const without: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'a dead owner stays', change: right => asks(right, () => ({ without: null })) },
  {
    fault: 'a dead owner that waits stays',
    change: right => ({
      trigger: async step => {
        const holders = (await right.inspect(step.claim.name))?.holders ?? []
        return await right.trigger(
          holders.some(({ owner }) => owner === step.without) ? step : { ...step, without: null },
        )
      },
    }),
  },
  {
    fault: 'whoever holds the lock is removed with a dead owner',
    change: right => ({
      trigger: async step => {
        const [first] = (await right.inspect(step.claim.name))?.holders ?? []
        const other = step.without !== null && first !== undefined && first.owner !== step.claim.owner
        if (other) await right.release({ name: step.claim.name, owner: first.owner }, null)
        return await right.trigger(step)
      },
    }),
  },
  {
    fault: 'who waits behind a dead owner is passed',
    change: right => ({
      trigger: async step => {
        if (step.without === null) return await right.trigger(step)
        const answer = await right.acquire(step.claim, { ticket: null, replaces: step.without })
        const seen = { running: null, pending: null, waiting: null }
        return answer.status === 'granted' ? { ...answer, seen } : await right.trigger(step)
      },
    }),
  },
  {
    fault: 'the notes of a dead run stay',
    change: right => ({
      trigger: async step => {
        const dead = (await right.inspect(step.claim.name))?.pending?.owner
        const displaces = step.without !== null && dead === step.without
        return await right.trigger(displaces ? { ...step, without: null, pending: 'follow' } : step)
      },
    }),
  },
]

const durable: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'a durable claim waits as long as its client',
    change: right => ({
      acquire: (claim, how) => right.acquire({ ...claim, durable: false }, how),
      trigger: step => right.trigger({ ...step, claim: { ...step.claim, durable: false } }),
    }),
  },
  { fault: 'nobody is told of a durable grant', change: () => ({ hand: () => null }) },
  {
    fault: 'a durable grant is told with another fence',
    change: () => ({ hand: grant => ({ ...grant, fence: grant.fence + 1 }) }),
  },
  {
    fault: 'of several durable grants one is told',
    change: right => {
      let told = false
      return {
        run: async steps => {
          told = false
          return await right.run(steps)
        },
        hand: grant => {
          if (told) return null
          told = true
          return grant
        },
      }
    },
  },
  {
    fault: 'a durable grant is held for the grant lease',
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
  {
    fault: 'a durable claim cannot leave the queue',
    change: right => ({
      release: async (claim, result) => {
        const waiters = (await right.inspect(claim.name))?.waiters ?? []
        const stays = waiters.some(({ owner, durable }) => durable && owner === claim.owner)
        return stays ? { status: 'released', held: false } : await right.release(claim, result)
      },
    }),
  },
]

const silent: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'a pending run stays without its client',
    change: right => ({
      trigger: step => right.trigger({ ...step, claim: { ...step.claim, durable: step.running === 'follow' } }),
    }),
  },
  {
    fault: 'a run that was granted does not run out before it begins',
    change: right => ({
      trigger: step =>
        right.trigger({ ...step, claim: { ...step.claim, ttlMs: step.begins ? null : step.claim.ttlMs } }),
    }),
  },
]

const shown: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'a pending run is not shown', change: right => shows(right, () => ({ pending: null })) },
  {
    fault: 'a pending run is shown without its notes',
    change: right => shows(right, ({ pending }) => ({ pending: pending && { ...pending, notes: 0 } })),
  },
  {
    fault: 'a pending run is shown without its time',
    change: right => shows(right, ({ pending }) => ({ pending: pending && { ...pending, notBeforeMs: null } })),
  },
  {
    fault: 'a list leaves pending runs out',
    change: right => ({
      async *list(prefix) {
        for await (const state of right.list(prefix)) yield { ...state, pending: null }
      },
    }),
  },
  {
    fault: 'a durable claim is shown as any',
    change: right =>
      shows(right, ({ waiters }) => ({ waiters: waiters.map(waiter => ({ ...waiter, durable: false })) })),
  },
]

/** Backends in which runs are displaced, put off, kept or shown wrongly. */
export const displacing: readonly Mutant[] = [
  ...of('displaced', displaced),
  ...of('debounce', debounce),
  ...of('without', without),
  ...of('durable claims', durable),
  ...of('silent runs', silent),
  ...of('runs that are shown', shown),
]

function shows(right: Stepwise, change: (state: LockState) => Partial<LockState>): Partial<Stepwise> {
  return {
    inspect: async name => {
      const state = await right.inspect(name)
      return state === null ? null : { ...state, ...change(state) }
    },
  }
}

function debounces(
  right: Stepwise,
  change: (
    state: LockState | null,
    step: Parameters<Stepwise['trigger']>[0],
  ) => Parameters<Stepwise['trigger']>[0]['debounce'],
): Partial<Stepwise> {
  return {
    trigger: async step => {
      const state = await right.inspect(step.claim.name)
      return await right.trigger({ ...step, debounce: change(state, step) })
    },
  }
}
