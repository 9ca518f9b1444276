import type { AcquireOptions, AcquireReply, Backend, Claim, PushedGrant } from 'soloist'
import type { Mutant } from './mutant.js'

const push: readonly Mutant[] = [
  { fault: 'no grant is pushed', caughtBy: 'push', change: () => ({ onGrant: () => {} }) },
  {
    fault: 'a grant is pushed to another client',
    caughtBy: 'push',
    change: (right, { listeners }) => ({
      onGrant: listener => {
        listeners.push(listener)
        right.onGrant(event => listeners.find(other => other !== listener)?.(event))
      },
    }),
  },
  {
    fault: 'a grant is pushed to every client',
    caughtBy: 'push',
    change: (right, { listeners }) => ({
      onGrant: listener => {
        listeners.push(listener)
        right.onGrant(event => {
          for (const each of listeners) each(event)
        })
      },
    }),
  },
  { fault: 'a push does not tell the limit', caughtBy: 'push', change: right => pushes(right, { limit: null }) },
  { fault: 'a push tells another fence', caughtBy: 'push', change: right => pushes(right, { fence: 2 ** 52 }) },
  {
    fault: 'a grant that was pushed stands for ever',
    caughtBy: 'push',
    change: right => ({
      onGrant: listener =>
        right.onGrant(event => {
          if (event.type !== 'granted') return listener(event)
          const { name, owner, mode, limit } = event
          const claim = { name, owner, mode, limit, client: '', ttlMs: null, meta: null }
          void right.renew([claim]).then(() => listener(event))
        }),
    }),
  },
  {
    fault: 'confirming a grant does not start its ttl',
    caughtBy: 'push',
    change: right => {
      const pushed = new Map<string, number>()
      return {
        onGrant: listener =>
          right.onGrant(event => {
            if (event.type === 'granted') pushed.set(event.owner, event.fence)
            listener(event)
          }),
        renew: async claims => {
          const [claim] = claims
          const fence = claim === undefined ? undefined : pushed.get(claim.owner)
          return fence === undefined ? await right.renew(claims) : [{ status: 'held', fence }]
        },
      }
    },
  },
]

const expiry: readonly Mutant[] = [
  {
    fault: 'nothing ever expires',
    caughtBy: 'expiry and takeover',
    change: right => ({ acquire: (claim, options) => right.acquire({ ...claim, ttlMs: null }, options) }),
  },
  {
    fault: 'a lock without a ttl expires all the same',
    caughtBy: 'expiry and takeover',
    change: right => ({
      acquire: (claim, options) => right.acquire({ ...claim, ttlMs: claim.ttlMs ?? 100 }, options),
    }),
  },
  {
    fault: 'a release does not ask whose lock it is',
    caughtBy: 'expiry and takeover',
    change: right => ({
      release: async claim => {
        const holders = (await right.inspect(claim.name))?.holders ?? []
        for (const { owner, mode } of holders) await right.release({ ...claim, owner, mode })
        await right.release(claim)
        return { released: holders.length > 0 }
      },
    }),
  },
  {
    fault: 'a renewal revives what ran out',
    caughtBy: 'expiry and takeover',
    change: right => ({
      renew: claims =>
        Promise.all(
          claims.map(async claim => {
            const reply = await right.acquire(claim)
            return reply.status === 'granted' ? { status: 'held', fence: reply.fence } : { status: 'lost' }
          }),
        ),
    }),
  },
  {
    fault: 'a renewal does not ask whose lock it is',
    caughtBy: 'expiry and takeover',
    change: right => ({
      renew: async claims => {
        const [claim] = claims
        const holder = claim && (await right.inspect(claim.name))?.holders[0]
        return await right.renew(claims.map(each => ({ ...each, owner: holder?.owner ?? each.owner })))
      },
    }),
  },
  {
    fault: 'a renewal never shortens the ttl',
    caughtBy: 'expiry and takeover',
    change: right => ({
      renew: claims => right.renew(claims.map(claim => ({ ...claim, ttlMs: Math.max(claim.ttlMs ?? 0, 60_000) }))),
    }),
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
      acquire: async (claim, options) => {
        if ((await right.inspect(claim.name)) === null) fences.delete(claim.name)
        const reply = await right.acquire(claim, options)
        if (reply.status !== 'granted') return reply
        const fence = (fences.get(claim.name) ?? 0) + 1
        fences.set(claim.name, fence)
        return { ...reply, fence }
      },
    }),
  },
  { fault: 'a fence is no time', caughtBy: 'fences', change: right => withFence(right, fence => fence - 1e15) },
]

const replaces: readonly Mutant[] = [
  {
    fault: 'whoever holds the lock is replaced',
    caughtBy: 'replaces',
    change: right => ({ acquire: async (claim, options) => await replacing(right, claim, options, () => true) }),
  },
  {
    fault: 'an owner that starts alike is replaced',
    caughtBy: 'replaces',
    change: right => ({
      acquire: async (claim, options) =>
        await replacing(right, claim, options, holder => holder.startsWith(String(options?.replaces))),
    }),
  },
  {
    fault: 'who waits is forgotten when the holder is replaced',
    caughtBy: 'replaces',
    change: right => ({
      acquire: async (claim, options) => {
        const reply = await right.acquire(claim, options)
        const waiters = (await right.inspect(claim.name))?.waiters ?? []
        if (options?.replaces !== undefined) for (const { owner } of waiters) await right.release({ ...claim, owner })
        return reply
      },
    }),
  },
]

const limits: readonly Mutant[] = [
  {
    fault: 'another limit is taken for the one that stands',
    caughtBy: 'limits',
    change: right => ({
      acquire: async (claim, options) => {
        const reply = await right.acquire(claim, options)
        return reply.status === 'limit' ? await right.acquire({ ...claim, limit: reply.limit }, options) : reply
      },
    }),
  },
  {
    fault: 'a limit stands for ever',
    caughtBy: 'limits',
    change: (right, { limits }) => ({
      acquire: async (claim, options) => {
        const limit = limits.get(claim.name)
        if (claim.mode === 'shared' && limit !== undefined && limit !== claim.limit) return { status: 'limit', limit }
        const reply = await right.acquire(claim, options)
        if (claim.mode === 'shared' && reply.status === 'granted') limits.set(claim.name, claim.limit)
        return reply
      },
    }),
  },
  {
    fault: 'a claim that was refused fixes the limit',
    caughtBy: 'limits',
    change: (right, { limits }) => ({
      acquire: async (claim, options) => {
        const limit = limits.get(claim.name)
        if (claim.mode === 'shared' && limit !== undefined && limit !== claim.limit) return { status: 'limit', limit }
        const reply = await right.acquire(claim, options)
        if (claim.mode === 'shared' && reply.status === 'busy') limits.set(claim.name, claim.limit)
        return reply
      },
    }),
  },
]

/** Backends that push, expire, number, replace or limit wrongly. */
export const holding: readonly Mutant[] = [...push, ...expiry, ...fences, ...replaces, ...limits]

function pushes(right: Backend, change: Partial<PushedGrant>): Partial<Backend> {
  return {
    onGrant: listener => right.onGrant(event => listener(event.type === 'granted' ? { ...event, ...change } : event)),
  }
}

function withFence(right: Backend, change: (fence: number) => number): Partial<Backend> {
  return {
    acquire: async (claim, options) => {
      const reply = await right.acquire(claim, options)
      return reply.status === 'granted' ? { ...reply, fence: change(reply.fence) } : reply
    },
  }
}

async function replacing(
  right: Backend,
  claim: Claim,
  options: AcquireOptions | undefined,
  fits: (holder: string) => boolean,
): Promise<AcquireReply> {
  const holder = (await right.inspect(claim.name))?.holders[0]?.owner
  const replaced = options?.replaces !== undefined && holder !== undefined && fits(holder)
  return await right.acquire(claim, replaced ? { ...options, replaces: holder } : options)
}
