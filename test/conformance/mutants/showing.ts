import { setImmediate as turn } from 'node:timers/promises'
import type { Backend, Claim, LockState } from 'soloist'
import type { Mutant } from './mutant.js'

const inspect: readonly Mutant[] = [
  {
    fault: 'the meta is forgotten',
    caughtBy: 'inspect',
    change: right => ({ acquire: (claim, options) => right.acquire({ ...claim, meta: null }, options) }),
  },
  {
    fault: 'only the waiters that are shown are counted',
    caughtBy: 'inspect',
    change: right => shows(right, state => ({ ...state, waiting: state.waiters.length })),
  },
  {
    fault: 'all waiters are shown, however many',
    caughtBy: 'inspect',
    change: right => shows(right, state => ({ ...state, waiters: [...state.waiters, ...state.waiters] })),
  },
  {
    fault: 'holders are shown by name, not in the order they were granted',
    caughtBy: 'inspect',
    change: right =>
      shows(right, state => ({ ...state, holders: [...state.holders].sort((a, b) => (a.owner < b.owner ? 1 : -1)) })),
  },
  {
    fault: 'a free lock is shown as an empty one',
    caughtBy: 'inspect',
    change: right => ({
      inspect: async name =>
        (await right.inspect(name)) ?? { name, holders: [], waiting: 0, waiters: [], limit: null, atMs: Date.now() },
    }),
  },
  {
    fault: 'times are seconds',
    caughtBy: 'inspect',
    change: right => shows(right, state => ({ ...state, atMs: Math.floor(state.atMs / 1000) })),
  },
]

const list: readonly Mutant[] = [
  {
    fault: 'a prefix is any part of a name',
    caughtBy: 'list',
    change: right => lists(right, (name, prefix) => name.includes(prefix)),
  },
  {
    fault: 'a prefix is a pattern',
    caughtBy: 'list',
    change: right =>
      lists(right, (name, prefix) => name.startsWith(prefix) || name.startsWith(prefix.replace(/[*?]/g, ''))),
  },
  {
    fault: 'a prefix is matched whatever its case',
    caughtBy: 'list',
    change: right => lists(right, (name, prefix) => name.toLowerCase().startsWith(prefix.toLowerCase())),
  },
  {
    fault: 'a lock is listed twice',
    caughtBy: 'list',
    change: right => ({
      async *list(prefix) {
        yield* right.list(prefix)
        for await (const state of right.list(prefix)) {
          yield state
          return
        }
      },
    }),
  },
  {
    fault: 'the list ends at a hundred',
    caughtBy: 'list',
    change: right => ({
      async *list(prefix) {
        let left = 100
        for await (const state of right.list(prefix)) {
          yield state
          left -= 1
          if (left === 0) return
        }
      },
    }),
  },
]

const namesAndOwners: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'names are cut at a NUL', change: right => renames(right, name => name.split('\0')[0] as string) },
  { fault: 'names are normalised', change: right => renames(right, name => name.normalize('NFC')) },
  { fault: 'names are folded', change: right => renames(right, name => name.toLowerCase()) },
  { fault: 'names are trimmed', change: right => renames(right, name => name.trimEnd()) },
  { fault: 'names are cut at 1,000 characters', change: right => renames(right, name => name.slice(0, 1_000)) },
  {
    fault: 'a hash tag is the whole name',
    change: right => renames(right, name => /\{(.+?)\}/.exec(name)?.[1] ?? name),
  },
  { fault: 'owners are cut at a space', change: right => reowns(right, owner => owner.split(' ')[0] as string) },
  { fault: 'owners are normalised', change: right => reowns(right, owner => owner.normalize('NFC')) },
]
const names: readonly Mutant[] = namesAndOwners.map(mutant => ({ ...mutant, caughtBy: 'names' }))

const renewal: readonly Mutant[] = [
  {
    fault: 'a batch ends at the first claim that is lost',
    caughtBy: 'batched renewal',
    change: right => ({
      renew: async claims => {
        const replies = await right.renew(claims)
        const lost = replies.findIndex(({ status }) => status === 'lost')
        return lost < 0 ? replies : replies.map((reply, i) => (i < lost ? reply : { status: 'lost' }))
      },
    }),
  },
  {
    fault: 'a batch has one ttl',
    caughtBy: 'batched renewal',
    change: right => ({
      renew: claims => right.renew(claims.map(claim => ({ ...claim, ttlMs: claims[0]?.ttlMs ?? null }))),
    }),
  },
  {
    fault: 'replies come in another order',
    caughtBy: 'batched renewal',
    change: right => ({
      renew: async claims => [...(await right.renew(claims))].sort(({ status }) => (status === 'lost' ? -1 : 1)),
    }),
  },
  {
    fault: 'a batch is cut at 500',
    caughtBy: 'batched renewal',
    change: right => ({ renew: claims => right.renew(claims.slice(0, 500)) }),
  },
]

const close: readonly Mutant[] = [
  {
    fault: 'closing releases what is held',
    caughtBy: 'close',
    change: right => {
      const claims: Claim[] = []
      return {
        acquire: (claim, options) => {
          claims.push(claim)
          return right.acquire(claim, options)
        },
        close: async () => {
          for (const claim of claims.splice(0)) await right.release(claim)
          await right.close()
        },
      }
    },
  },
  { fault: 'calls after closing are answered', caughtBy: 'close', change: () => ({ close: async () => {} }) },
  {
    fault: 'closing twice fails',
    caughtBy: 'close',
    change: right => {
      let closed = false
      return {
        close: async () => {
          if (closed) throw new Error('closed already')
          closed = true
          await right.close()
        },
      }
    },
  },
]

const concurrency: readonly Mutant[] = [
  {
    fault: 'looking whether a lock is free and taking it are two steps',
    caughtBy: 'concurrency',
    change: right => ({
      acquire: async (claim, options) => {
        const free = (await right.inspect(claim.name)) === null
        await turn()
        const reply = await right.acquire(claim, options)
        if (!free || reply.status !== 'busy' || reply.holder === null) return reply
        return await right.acquire(claim, { replaces: reply.holder })
      },
    }),
  },
]

/** Backends that tell, list, name, renew or close wrongly, or are right only when nothing happens at once. */
export const showing: readonly Mutant[] = [...inspect, ...list, ...names, ...renewal, ...close, ...concurrency]

function shows(right: Backend, change: (state: LockState) => LockState): Partial<Backend> {
  return {
    inspect: async name => {
      const state = await right.inspect(name)
      return state === null ? null : change(state)
    },
  }
}

function lists(right: Backend, fits: (name: string, prefix: string) => boolean): Partial<Backend> {
  return {
    async *list(prefix) {
      for await (const state of right.list('')) if (fits(state.name, prefix)) yield state
    },
  }
}

function renames(right: Backend, change: (name: string) => string): Partial<Backend> {
  const renamed = (claim: Claim) => ({ ...claim, name: change(claim.name) || 'empty' })
  return {
    acquire: (claim, options) => right.acquire(renamed(claim), options),
    renew: claims => right.renew(claims.map(renamed)),
    release: (claim, result) => right.release(renamed(claim), result),
    watch: (name, owner, client) => right.watch(change(name) || 'empty', owner, client),
    inspect: name => right.inspect(change(name) || 'empty'),
  }
}

function reowns(right: Backend, change: (owner: string) => string): Partial<Backend> {
  const reowned = (claim: Claim) => ({ ...claim, owner: change(claim.owner) })
  return {
    acquire: (claim, options) => right.acquire(reowned(claim), options),
    renew: claims => right.renew(claims.map(reowned)),
    release: (claim, result) => right.release(reowned(claim), result),
    watch: (name, owner, client) => right.watch(name, change(owner), client),
  }
}
