import { setImmediate as turn } from 'node:timers/promises'
import type { Claim, ClaimId, LockState } from 'soloist'
import type { Mutant, Stepwise } from './mutant.js'

const inspect: readonly Mutant[] = [
  {
    fault: 'the meta is forgotten',
    caughtBy: 'inspect',
    change: right => ({ acquire: (claim, how) => right.acquire({ ...claim, meta: null }, how) }),
  },
  {
    fault: 'only the waiters that are shown are counted',
    caughtBy: 'inspect',
    change: right => shows(right, state => ({ ...state, waiting: state.waiters.length })),
  },
  {
    fault: 'only the holders that are shown are counted',
    caughtBy: 'inspect',
    change: right => shows(right, state => ({ ...state, holding: state.holders.length })),
  },
  {
    fault: 'all holders are shown, however many',
    caughtBy: 'inspect',
    change: right => shows(right, state => ({ ...state, holders: [...state.holders, ...state.holders] })),
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
        (await right.inspect(name)) ?? {
          ...{ name, holding: 0, holders: [], pending: null, waiting: 0, waiters: [] },
          atMs: Date.now(),
        },
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

const close: readonly Mutant[] = [
  {
    fault: 'closing releases what is held',
    caughtBy: 'close',
    change: right => {
      const claims: Claim[] = []
      return {
        acquire: (claim, how) => {
          claims.push(claim)
          return right.acquire(claim, how)
        },
        close: async () => {
          for (const claim of claims.splice(0)) await right.release(claim, null)
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
      acquire: async (claim, how) => {
        const free = (await right.inspect(claim.name)) === null
        await turn()
        const reply = await right.acquire(claim, how)
        if (!free || reply.status !== 'busy' || reply.holder === null) return reply
        return await right.acquire(claim, { ...how, replaces: reply.holder })
      },
    }),
  },
]

/** Backends that tell, list, name or close wrongly, or are right only when nothing happens at once. */
export const showing: readonly Mutant[] = [...inspect, ...list, ...names, ...close, ...concurrency]

function shows(right: Stepwise, change: (state: LockState) => LockState): Partial<Stepwise> {
  return {
    inspect: async name => {
      const state = await right.inspect(name)
      return state === null ? null : change(state)
    },
  }
}

function lists(right: Stepwise, fits: (name: string, prefix: string) => boolean): Partial<Stepwise> {
  return {
    async *list(prefix) {
      for await (const state of right.list('')) if (fits(state.name, prefix)) yield state
    },
  }
}

function renames(right: Stepwise, change: (name: string) => string): Partial<Stepwise> {
  const renamed = <C extends ClaimId>(claim: C): C => ({ ...claim, name: change(claim.name) || 'empty' })
  return {
    acquire: (claim, how) => right.acquire(renamed(claim), how),
    renew: step => right.renew(renamed(step)),
    release: (claim, result) => right.release(renamed(claim), result),
    watch: claim => right.watch(renamed(claim)),
    inspect: name => right.inspect(change(name) || 'empty'),
  }
}

function reowns(right: Stepwise, change: (owner: string) => string): Partial<Stepwise> {
  const reowned = <C extends ClaimId>(claim: C): C => ({ ...claim, owner: change(claim.owner) })
  return {
    acquire: (claim, how) => right.acquire(reowned(claim), how),
    renew: step => right.renew(reowned(step)),
    release: (claim, result) => right.release(reowned(claim), result),
    watch: claim => right.watch(reowned(claim)),
  }
}
