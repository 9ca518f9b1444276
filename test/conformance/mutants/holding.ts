import type { AcquireAnswer, Claim, PushedGrant } from 'soloist'
import type { How, Mutant, Stepwise } from './mutant.js'

const push: readonly Mutant[] = [
  {
    fault: 'no grant is pushed',
    caughtBy: 'push',
    change: right => ({ open: client => right.open(client, () => {}) }),
  },
  {
    fault: 'a grant is pushed to another client',
    caughtBy: 'push',
    change: (right, { listeners }) => ({
      open: (client, listener) => {
        listeners.push(listener)
        right.open(client, event => listeners.find(other => other !== listener)?.(event))
      },
    }),
  },
  {
    fault: 'a grant is pushed to every client',
    caughtBy: 'push',
    change: (right, { listeners }) => ({
      open: (client, listener) => {
        listeners.push(listener)
        right.open(client, event => {
          for (const each of listeners) each(event)
        })
      },
    }),
  },
  { fault: 'a push tells another fence', caughtBy: 'push', change: right => pushes(right, { fence: 2 ** 52 }) },
  { fault: 'a push tells another name', caughtBy: 'push', change: right => pushes(right, { name: 'another' }) },
  {
    fault: 'a grant that was pushed stands for ever',
    caughtBy: 'push',
    change: right => ({
      open: (client, listener) =>
        right.open(client, event => {
          if (event.type !== 'granted') return listener(event)
          const { name, owner } = event
          void right.renew({ kind: 'renew', name, owner, ttlMs: null, fence: null }).then(() => listener(event))
        }),
    }),
  },
  {
    fault: 'a grant that was pushed stands as long as any, however short its lease',
    caughtBy: 'push',
    change: right => ({
      open: (client, listener) =>
        right.open(client, event => {
          if (event.type !== 'granted') return listener(event)
          const { name, owner } = event
          void right.renew({ kind: 'renew', name, owner, ttlMs: 5_000, fence: null }).then(() => listener(event))
        }),
    }),
  },
  {
    fault: 'confirming a grant does not start its ttl',
    caughtBy: 'push',
    change: right => {
      const pushed = new Map<string, number>()
      return {
        open: (client, listener) =>
          right.open(client, event => {
            if (event.type === 'granted') pushed.set(event.owner, event.fence)
            listener(event)
          }),
        renew: async step => {
          const fence = pushed.get(step.owner)
          return fence === undefined ? await right.renew(step) : { status: 'held', fence }
        },
      }
    },
  },
]

const expiry: readonly Mutant[] = [
  {
    fault: 'nothing ever expires',
    caughtBy: 'expiry and takeover',
    change: right => ({ acquire: (claim, how) => right.acquire({ ...claim, ttlMs: null }, how) }),
  },
  {
    fault: 'a lock without a ttl expires all the same',
    caughtBy: 'expiry and takeover',
    change: right => ({ acquire: (claim, how) => right.acquire({ ...claim, ttlMs: claim.ttlMs ?? 100 }, how) }),
  },
  {
    fault: 'a release does not ask whose lock it is',
    caughtBy: 'expiry and takeover',
    change: right => ({
      release: async (claim, result) => {
        const holders = (await right.inspect(claim.name))?.holders ?? []
        for (const { owner } of holders) await right.release({ ...claim, owner }, null)
        await right.release(claim, result)
        return { status: 'released', held: holders.length > 0 }
      },
    }),
  },
  {
    fault: 'a renewal revives what ran out',
    caughtBy: 'expiry and takeover',
    change: right => ({
      renew: async ({ name, owner, ttlMs }) => {
        const claim = { name, owner, mode: 'exclusive', limit: null, ttlMs, meta: null } as const
        const answer = await right.acquire(claim, { ticket: null, replaces: null })
        return answer.status === 'granted' ? { status: 'held', fence: answer.fence } : { status: 'lost' }
      },
    }),
  },
  {
    fault: 'a renewal does not ask whose lock it is',
    caughtBy: 'expiry and takeover',
    change: right => ({
      renew: async step => {
        const holder = (await right.inspect(step.name))?.holders[0]
        return await right.renew({ ...step, owner: holder?.owner ?? step.owner })
      },
    }),
  },
  {
    fault: 'a renewal never shortens the ttl',
    caughtBy: 'expiry and takeover',
    change: right => ({ renew: step => right.renew({ ...step, ttlMs: Math.max(step.ttlMs ?? 0, 60_000) }) }),
  },
]

const fences: readonly Mutant[] = [
  {
    fault: 'two grants within a millisecond have one fence',
    caughtBy: 'fences',
    change: right => withFence(right, fence => Math.floor(fence / 1000) * 1000),
  },
  {
    fault: 'fences start again when a lock was free',
    caughtBy: 'fences',
    change: (right, { fences }) => ({
      acquire: async (claim, how) => {
        if ((await right.inspect(claim.name)) === null) fences.delete(claim.name)
        const answer = await right.acquire(claim, how)
        if (answer.status !== 'granted') return answer
        const fence = (fences.get(claim.name) ?? 0) + 1
        fences.set(claim.name, fence)
        return { ...answer, fence }
      },
    }),
  },
  { fault: 'a fence is no time', caughtBy: 'fences', change: right => withFence(right, fence => fence - 1e15) },
  { fault: 'a grant may have no fence', caughtBy: 'fences', change: right => withFence(right, () => 0) },
]

const clock: readonly Mutant[] = [
  {
    fault: 'a fence is the time alone',
    caughtBy: 'a clock that steps',
    change: right => ({
      acquire: async (claim, how) => {
        const answer = await right.acquire(claim, how)
        const { atMs } = (await right.inspect(claim.name)) ?? { atMs: 0 }
        return answer.status === 'granted' ? { ...answer, fence: atMs * 1000 } : answer
      },
    }),
  },
]

const replaces: readonly Mutant[] = [
  {
    fault: 'whoever holds the lock is replaced',
    caughtBy: 'replaces',
    change: right => ({ acquire: async (claim, how) => await replacing(right, claim, how, () => true) }),
  },
  {
    fault: 'an owner that starts alike is replaced',
    caughtBy: 'replaces',
    change: right => ({
      acquire: async (claim, how) =>
        await replacing(right, claim, how, holder => holder.startsWith(String(how.replaces))),
    }),
  },
  {
    fault: 'who waits is forgotten when the holder is replaced',
    caughtBy: 'replaces',
    change: right => ({
      acquire: async (claim, how) => {
        const answer = await right.acquire(claim, how)
        const waiters = (await right.inspect(claim.name))?.waiters ?? []
        if (how.replaces !== null) for (const { owner } of waiters) await right.release({ ...claim, owner }, null)
        return answer
      },
    }),
  },
  {
    fault: 'who is to have the place of another waits behind everybody else',
    caughtBy: 'replaces',
    change: right => ({
      acquire: async (claim, how) => {
        const gone = how.replaces !== null && how.ticket !== null ? { ...claim, owner: how.replaces } : null
        const waiters = (await right.inspect(claim.name))?.waiters ?? []
        if (gone === null || waiters.every(({ owner }) => owner !== gone.owner)) return await right.acquire(claim, how)
        await right.release(gone, null)
        return await right.acquire(claim, { ...how, replaces: null })
      },
    }),
  },
  {
    fault: 'a claim that waits and takes the lock by replacing stays in the queue',
    caughtBy: 'replaces',
    change: right => {
      const waiting = new Map<string, number>()
      return {
        acquire: async (claim, how) => {
          const answer = await right.acquire(claim, how)
          if (answer.status === 'busy' && answer.ticket !== null) waiting.set(claim.owner, answer.ticket)
          return answer
        },
        release: async (claim, result) => {
          const answer = await right.release(claim, result)
          const ticket = waiting.get(claim.owner)
          const again = { ...claim, mode: 'exclusive', limit: null, ttlMs: 60_000, meta: null } as const
          if (ticket !== undefined) await right.acquire(again, { ticket, replaces: null })
          return answer
        },
      }
    },
  },
]

const limits: readonly Mutant[] = [
  {
    fault: 'a limit stands as long as the lock is in use',
    caughtBy: 'limits',
    change: (right, { limits }) => ({
      acquire: async (claim, how) => {
        if ((await right.inspect(claim.name)) === null) limits.delete(claim.name)
        const limit = limits.has(claim.name) ? (limits.get(claim.name) ?? null) : claim.limit
        if (claim.mode === 'shared') limits.set(claim.name, limit)
        return await right.acquire(claim.mode === 'shared' ? { ...claim, limit } : claim, how)
      },
    }),
  },
  {
    fault: 'the lowest limit counts for all',
    caughtBy: 'limits',
    change: right => ({
      acquire: async (claim, how) => {
        const { holders = [] } = (await right.inspect(claim.name)) ?? {}
        const limits = [...holders.map(({ limit }) => limit), claim.limit].filter(limit => limit !== null)
        const limit = limits.length === 0 ? null : Math.min(...limits)
        return await right.acquire(claim.mode === 'shared' ? { ...claim, limit } : claim, how)
      },
    }),
  },
  {
    fault: 'the highest limit counts for all',
    caughtBy: 'limits',
    change: right => ({
      acquire: async (claim, how) => {
        const { holders = [] } = (await right.inspect(claim.name)) ?? {}
        const limits = [...holders.map(({ limit }) => limit ?? 0), claim.limit ?? 0]
        const limit = claim.limit === null ? null : Math.max(...limits)
        return await right.acquire(claim.mode === 'shared' ? { ...claim, limit } : claim, how)
      },
    }),
  },
  {
    fault: 'limits are not shown',
    caughtBy: 'limits',
    change: right => ({
      inspect: async name => {
        const state = await right.inspect(name)
        return state && { ...state, holders: state.holders.map(holder => ({ ...holder, limit: null })) }
      },
    }),
  },
]

/** Backends that push, expire, number, replace or limit wrongly. */
export const holding: readonly Mutant[] = [...push, ...expiry, ...fences, ...clock, ...replaces, ...limits]

function pushes(right: Stepwise, change: Partial<PushedGrant>): Partial<Stepwise> {
  return {
    open: (client, listener) =>
      right.open(client, event => listener(event.type === 'granted' ? { ...event, ...change } : event)),
  }
}

function withFence(right: Stepwise, change: (fence: number) => number): Partial<Stepwise> {
  return {
    acquire: async (claim, how) => {
      const answer = await right.acquire(claim, how)
      return answer.status === 'granted' ? { ...answer, fence: change(answer.fence) } : answer
    },
  }
}

async function replacing(
  right: Stepwise,
  claim: Claim,
  how: How,
  fits: (holder: string) => boolean,
): Promise<AcquireAnswer> {
  const holder = (await right.inspect(claim.name))?.holders[0]?.owner
  const replaced = how.replaces !== null && holder !== undefined && fits(holder)
  return await right.acquire(claim, replaced ? { ...how, replaces: holder } : how)
}
