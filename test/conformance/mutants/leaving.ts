import type { ClaimId, Ended, KeptResult, ReleaseAnswer, StoreEvent } from 'soloist'
import type { Mutant, Shared, Stepwise } from './mutant.js'

const faults: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'nothing is kept', change: right => ({ release: claim => right.release(claim, null) }) },
  { fault: 'a result is kept for ever', change: right => keeps(right, result => ({ ...result, keepMs: 1e9 })) },
  { fault: 'a result is kept for thousandths of its time', change: right => keeps(right, inThousandths) },
  {
    fault: 'a result can be read once',
    change: (right, { results }) => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        const key = place(claim)
        if (reply.status !== 'result') return reply
        if (results.has(key)) return { status: 'gone' }
        results.set(key, reply.text)
        return reply
      },
    }),
  },
  {
    fault: 'a result is cut at 64 KiB',
    change: right => keeps(right, result => ({ ...result, text: result.text.slice(0, 65_536) })),
  },
  {
    fault: 'an empty result is none',
    change: right => ({ release: (claim, result) => right.release(claim, result?.text === '' ? null : result) }),
  },
  {
    fault: 'a result is kept whoever leaves it',
    change: (right, shared) => keepsAt(right, shared, place, { unheld: true, over: false }),
  },
  {
    fault: 'a release sent again leaves another result',
    change: (right, shared) => keepsAt(right, shared, place, { unheld: true, over: true }),
  },
  { fault: 'a lock has one result', change: (right, shared) => keepsAt(right, shared, ({ name }) => name) },
  { fault: 'an owner has one result', change: (right, shared) => keepsAt(right, shared, ({ owner }) => owner) },
  {
    fault: 'the name and the owner of a result run together',
    change: (right, shared) => keepsAt(right, shared, ({ name, owner }) => name + owner),
  },
  {
    fault: 'a claim that waits is not live',
    change: right => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        const holders = (await right.inspect(claim.name))?.holders ?? []
        return reply.status === 'live' && !holders.some(held => held.owner === claim.owner) ? { status: 'gone' } : reply
      },
    }),
  },
  {
    fault: 'whoever is asked about is live as long as the lock is in use',
    change: right => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        return reply.status === 'gone' && (await right.inspect(claim.name)) !== null ? { status: 'live' } : reply
      },
    }),
  },
  {
    fault: 'a claim is live until it is released',
    change: (right, { results }) => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        if (reply.status === 'live') results.set(place(claim), 'live')
        return reply.status === 'gone' && results.has(place(claim)) ? { status: 'live' } : reply
      },
      release: (claim, result) => {
        results.delete(place(claim))
        return right.release(claim, result)
      },
    }),
  },
  { fault: 'nobody is told of an end', change: right => tells(right, () => {}) },
  {
    fault: 'an end is told twice',
    change: right =>
      tells(right, (event, listener) => {
        listener(event)
        listener(event)
      }),
  },
  {
    fault: 'an end is told to every client',
    change: (right, { listeners }) => ({
      open: (client, listener) => {
        listeners.push(listener)
        right.open(client, event => {
          for (const each of event.type === 'ended' ? listeners : [listener]) each(event)
        })
      },
    }),
  },
  {
    fault: 'an end is told only when it left something',
    change: right =>
      tells(right, async (event, listener) => {
        const { status } = await right.watch(event)
        if (status === 'result') listener(event)
      }),
  },
  {
    fault: 'an end that left something is not told',
    change: right =>
      tells(right, async (event, listener) => {
        const { status } = await right.watch(event)
        if (status !== 'result') listener(event)
      }),
  },
  {
    fault: 'an end is told of the owner of before',
    change: right => {
      let before: Ended | null = null
      return tells(right, (event, listener) => {
        listener({ ...event, owner: before?.owner ?? event.owner })
        before = event
      })
    },
  },
  {
    fault: 'only who watched first is told',
    change: (right, { results }) => {
      let client = ''
      return {
        open: (id, listener) => {
          client = id
          right.open(id, event => {
            const first = event.type === 'ended' ? results.get(place(event)) : client
            if (first === client) listener(event)
          })
        },
        watch: claim => {
          results.set(place(claim), results.get(place(claim)) ?? client)
          return right.watch(claim)
        },
      }
    },
  },
  {
    fault: 'watching a claim is claiming its lock',
    change: right => ({
      watch: async claim => {
        const reply = await right.watch(claim)
        const mine = { name: claim.name, owner: `watches ${claim.owner}`, mode: 'exclusive', limit: null } as const
        const how = { ticket: 'new', replaces: null } as const
        if (reply.status === 'live') await right.acquire({ ...mine, ttlMs: 60_000, meta: null }, how)
        return reply
      },
    }),
  },
  {
    fault: 'what left a result is still in use',
    change: right => ({
      release: async (claim, result) => {
        const reply = await right.release(claim, result)
        const owner = `${claim.owner}'s result`
        const kept = { name: claim.name, owner, mode: 'exclusive', limit: null, meta: null } as const
        if (heldBefore(reply) && result !== null) {
          await right.acquire({ ...kept, ttlMs: result.keepMs }, { ticket: null, replaces: null })
        }
        return reply
      },
    }),
  },
]

/** Backends that are wrong about claims that wait and whose client is not there any more. */
const silent: readonly Omit<Mutant, 'caughtBy'>[] = [
  {
    fault: 'a claim that waits is live until somebody else asks about its lock',
    change: (right, { results }) => ({
      watch: async claim => {
        const before = await right.inspect(claim.name)
        if (before?.waiters.some(({ owner }) => owner === claim.owner)) results.set(place(claim), 'waits')
        const reply = await right.watch(claim)
        return reply.status === 'gone' && results.has(place(claim)) ? { status: 'live' } : reply
      },
    }),
  },
  {
    fault: 'a claim that waits is gone when its client has not asked for it since it is watched',
    change: (right, { results }) => ({
      acquire: (claim, how) => {
        results.delete(place(claim))
        return right.acquire(claim, how)
      },
      watch: async claim => {
        const reply = await right.watch(claim)
        const waits = (await right.inspect(claim.name))?.waiters.some(({ owner }) => owner === claim.owner)
        if (reply.status !== 'live' || !waits) return reply
        if (results.has(place(claim))) return { status: 'gone' }
        results.set(place(claim), 'watched')
        return reply
      },
    }),
  },
]

/** Backends that are wrong about what an owner leaves, or about who is told of its end. */
export const leaving: readonly Mutant[] = [
  ...faults.map(mutant => ({ ...mutant, caughtBy: /\btold\b/.test(mutant.fault) ? 'watching' : 'results' })),
  ...silent.map(mutant => ({ ...mutant, caughtBy: 'silent waiters' })),
]

function keeps(right: Stepwise, change: (result: KeptResult) => KeptResult): Partial<Stepwise> {
  return { release: (claim, result) => right.release(claim, result && change(result)) }
}

function inThousandths(result: KeptResult): KeptResult {
  return { ...result, keepMs: Math.ceil(result.keepMs / 1000) }
}

function place({ name, owner }: ClaimId): string {
  return `${name.length} ${name}${owner}`
}

/**
 * Keeps results in a map of its own, for ever, under what `at` makes of a name and an owner. `unheld`: also of an owner
 * that held nothing; `over`: also over one that is there. Default: neither.
 */
function keepsAt(
  right: Stepwise,
  { results }: Shared,
  at: (claim: ClaimId) => string,
  { unheld, over } = { unheld: false, over: true },
): Partial<Stepwise> {
  return {
    release: async (claim, result) => {
      const reply = await right.release(claim, null)
      const key = at(claim)
      if (result !== null && (heldBefore(reply) || unheld) && (over || !results.has(key))) results.set(key, result.text)
      return reply
    },
    watch: async claim => {
      const reply = await right.watch(claim)
      const text = results.get(at(claim))
      return reply.status === 'gone' && text !== undefined ? { status: 'result', text } : reply
    },
  }
}

function heldBefore(answer: ReleaseAnswer): boolean {
  return answer.status === 'released' && answer.held
}

function tells(
  right: Stepwise,
  tell: (event: Ended, listener: (event: StoreEvent) => void) => unknown,
): Partial<Stepwise> {
  return {
    open: (client, listener) =>
      right.open(client, event => (event.type === 'ended' ? tell(event, listener) : listener(event))),
  }
}
