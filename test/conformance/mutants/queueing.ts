import type { AcquireAnswer, Claim } from 'soloist'
import type { Mutant, Stepwise } from './mutant.js'

const grantRule: readonly Mutant[] = [
  {
    fault: 'a reader that only tries barges past a writer that waits',
    caughtBy: 'grant rule',
    change: right => ({
      acquire: async (claim, how) => {
        const reply = await right.acquire(claim, how)
        return how.ticket === null && (await readersHold(right, claim)) ? made(reply) : reply
      },
    }),
  },
  {
    fault: 'a reader overtakes a writer that waits',
    caughtBy: 'grant rule',
    change: right => ({
      acquire: async (claim, how) => {
        const reply = await right.acquire(claim, how)
        return how.ticket !== null && (await readersHold(right, claim)) ? made(reply) : reply
      },
    }),
  },
  {
    fault: 'a shared claim that waits is taken for an exclusive one',
    caughtBy: 'grant rule',
    change: right => ({
      acquire: (claim, how) =>
        right.acquire(how.ticket === null ? claim : { ...claim, mode: 'exclusive', limit: null }, how),
    }),
  },
  {
    fault: 'the limit is ignored',
    caughtBy: 'grant rule',
    change: right => ({ acquire: (claim, how) => right.acquire({ ...claim, limit: null }, how) }),
  },
  {
    fault: 'a claim that only tries is queued',
    caughtBy: 'grant rule',
    change: right => ({
      acquire: async (claim, how) => {
        const reply = await right.acquire(claim, { ...how, ticket: how.ticket ?? 'new' })
        return reply.status === 'busy' && how.ticket === null ? { ...reply, ticket: null } : reply
      },
    }),
  },
]

const replay: readonly Mutant[] = [
  {
    fault: 'who holds the lock and asks again gets a lower fence',
    caughtBy: 'replay',
    change: (right, shared) => ({
      acquire: async (claim, how) => {
        const reply = await right.acquire(claim, how)
        shared.count += 1
        return reply.status === 'granted' ? { ...reply, fence: reply.fence - shared.count } : reply
      },
    }),
  },
  {
    fault: 'who holds the lock and asks again keeps the old ttl',
    caughtBy: 'replay',
    change: right => ({
      acquire: async (claim, how) => {
        const held = (await right.inspect(claim.name))?.holders.find(({ owner }) => owner === claim.owner)
        return held === undefined ? await right.acquire(claim, how) : { status: 'granted', fence: held.fence }
      },
    }),
  },
  {
    fault: 'who waits and asks again goes to the end of the queue',
    caughtBy: 'replay',
    change: right => ({
      acquire: async (claim, how) => {
        const waits = (await right.inspect(claim.name))?.waiters.some(({ owner }) => owner === claim.owner)
        if (waits === true) await right.release(claim, null)
        return await right.acquire(claim, waits === true ? { ...how, ticket: 'new' } : how)
      },
    }),
  },
  {
    fault: 'a release always says that it released',
    caughtBy: 'replay',
    change: right => ({
      release: async (claim, result) => {
        await right.release(claim, result)
        return { status: 'released', held: true }
      },
    }),
  },
  {
    fault: 'an owner that released is granted what it had',
    caughtBy: 'replay',
    change: (right, { gone }) => ({
      acquire: async (claim, how) => {
        const key = JSON.stringify([claim.name, claim.owner])
        const before = gone.get(key)
        if (before !== undefined) return before
        const reply = await right.acquire(claim, how)
        if (reply.status === 'granted') gone.set(key, reply)
        return reply
      },
    }),
  },
]

const queue: readonly Mutant[] = [
  {
    fault: 'who came last is served first',
    caughtBy: 'first come, first served',
    change: (right, shared) => ({
      acquire: async (claim, how) => {
        if (how.ticket !== 'new') return await right.acquire(claim, how)
        shared.count += 1
        const reply = await right.acquire(claim, { ...how, ticket: 1_000_000 - shared.count })
        return reply.status === 'busy' ? { ...reply, requeued: false } : reply
      },
    }),
  },
  {
    fault: 'an old ticket gives no place back',
    caughtBy: 'first come, first served',
    change: right => ({
      acquire: (claim, how) => right.acquire(claim, how.ticket === null ? how : { ...how, ticket: 'new' }),
    }),
  },
  {
    fault: 'a claim that waits cannot leave the queue',
    caughtBy: 'first come, first served',
    change: right => ({
      release: async (claim, result) => {
        const waits = (await right.inspect(claim.name))?.waiters.some(({ owner }) => owner === claim.owner)
        return waits === true ? { status: 'released', held: false } : await right.release(claim, result)
      },
    }),
  },
  {
    fault: 'a claim that leaves the queue takes the others with it',
    caughtBy: 'first come, first served',
    change: right => ({
      release: async (claim, result) => {
        const waiters = (await right.inspect(claim.name))?.waiters ?? []
        const reply = await right.release(claim, result)
        const held = reply.status === 'released' && reply.held
        if (!held) for (const { owner } of waiters) await right.release({ ...claim, owner }, null)
        return reply
      },
    }),
  },
]

/** Backends that grant, repeat or queue wrongly. */
export const queueing: readonly Mutant[] = [...grantRule, ...replay, ...queue]

async function readersHold(right: Stepwise, claim: Claim): Promise<boolean> {
  const holders = (await right.inspect(claim.name))?.holders ?? []
  return claim.mode === 'shared' && claim.limit === null && holders.every(({ mode }) => mode === 'shared')
}

/** A grant made up from a refusal. */
function made(reply: AcquireAnswer): AcquireAnswer {
  return reply.status === 'busy' ? { status: 'granted', fence: Date.now() * 1000 } : reply
}
