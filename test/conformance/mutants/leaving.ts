import type { Backend, Claim, Ended, GrantEvent, KeptResult } from 'soloist'
import type { Mutant, Shared } from './mutant.js'

const faults: readonly Omit<Mutant, 'caughtBy'>[] = [
  { fault: 'nothing is kept', change: right => ({ release: claim => right.release(claim) }) },
  { fault: 'a result is kept for ever', change: right => keeps(right, result => ({ ...result, keepMs: 1e9 })) },
  { fault: 'a result is kept for thousandths of its time', change: right => keeps(right, inThousandths) },
  {
    fault: 'a result can be read once',
    change: (right, { results }) => ({
      watch: async (name, owner, client) => {
        const reply = await right.watch(name, owner, client)
        const key = `${name.length} ${name}${owner}`
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
    change: right => ({ release: (claim, result) => right.release(claim, result?.text === '' ? undefined : result) }),
  },
  {
    fault: 'a result is kept whoever leaves it',
    change: (right, shared) => keepsAt(right, shared, place, { unheld: true, over: false }),
  },
  {
    fault: 'a release sent again leaves another result',
    change: (right, shared) => keepsAt(right, shared, place, { unheld: true, over: true }),
  },
  { fault: 'a lock has one result', change: (right, shared) => keepsAt(right, shared, name => name) },
  { fault: 'an owner has one result', change: (right, shared) => keepsAt(right, shared, (_, owner) => owner) },
  {
    fault: 'the name and the owner of a result run together',
    change: (right, shared) => keepsAt(right, shared, (name, owner) => name + owner),
  },
  {
    fault: 'a claim that waits is not live',
    change: right => ({
      watch: async (name, owner, client) => {
        const reply = await right.watch(name, owner, client)
        const holders = (await right.inspect(name))?.holders ?? []
        return reply.status === 'live' && !holders.some(held => held.owner === owner) ? { status: 'gone' } : reply
      },
    }),
  },
  {
    fault: 'whoever is asked about is live as long as the lock is in use',
    change: right => ({
      watch: async (name, owner, client) => {
        const reply = await right.watch(name, owner, client)
        return reply.status === 'gone' && (await right.inspect(name)) !== null ? { status: 'live' } : reply
      },
    }),
  },
  {
    fault: 'a claim is live until it is released',
    change: (right, { results }) => ({
      watch: async (name, owner, client) => {
        const reply = await right.watch(name, owner, client)
        if (reply.status === 'live') results.set(place(name, owner), 'live')
        return reply.status === 'gone' && results.has(place(name, owner)) ? { status: 'live' } : reply
      },
      release: (claim, result) => {
        results.delete(place(claim.name, claim.owner))
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
      onGrant: listener => {
        listeners.push(listener)
        right.onGrant(event => {
          for (const each of event.type === 'ended' ? listeners : [listener]) each(event)
        })
      },
    }),
  },
  {
    fault: 'an end is told only when it left something',
    change: right =>
      tells(right, async (event, listener) => {
        const { status } = await right.watch(event.name, event.owner, 'somebody')
        if (status === 'result') listener(event)
      }),
  },
  {
    fault: 'an end that left something is not told',
    change: right =>
      tells(right, async (event, listener) => {
        const { status } = await right.watch(event.name, event.owner, 'somebody')
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
    change: (right, { results }) => ({
      watch: (name, owner, client) => {
        const first = results.get(place(name, owner)) ?? client
        results.set(place(name, owner), first)
        return right.watch(name, owner, first)
      },
    }),
  },
  {
    fault: 'watching a claim is claiming its lock',
    change: right => ({
      watch: async (name, owner, client) => {
        const reply = await right.watch(name, owner, client)
        const claim = { name, owner: `watched by ${client}`, client, mode: 'exclusive', limit: null } as const
        if (reply.status === 'live') await right.acquire({ ...claim, ttlMs: 60_000, meta: null }, { ticket: 'new' })
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
        if (reply.released && result !== undefined) await right.acquire({ ...claim, owner, ttlMs: result.keepMs })
        return reply
      },
    }),
  },
]

/** Backends that are wrong about what an owner leaves, or about who is told of its end. */
export const leaving: readonly Mutant[] = faults.map(mutant => ({ ...mutant, caughtBy: 'results' }))

function keeps(right: Backend, change: (result: KeptResult) => KeptResult): Partial<Backend> {
  return { release: (claim, result) => right.release(claim, result && change(result)) }
}

function inThousandths(result: KeptResult): KeptResult {
  return { ...result, keepMs: Math.ceil(result.keepMs / 1000) }
}

function place(name: string, owner: string): string {
  return `${name.length} ${name}${owner}`
}

/**
 * Keeps results in a map of its own, for ever, under what `at` makes of a name and an owner. `unheld`: also of an owner
 * that held nothing; `over`: also over one that is there. Default: neither.
 */
function keepsAt(
  right: Backend,
  { results }: Shared,
  at: (name: string, owner: string) => string,
  { unheld, over } = { unheld: false, over: true },
): Partial<Backend> {
  return {
    release: async (claim: Claim, result?: KeptResult) => {
      const reply = await right.release(claim)
      const key = at(claim.name, claim.owner)
      if (result !== undefined && (reply.released || unheld) && (over || !results.has(key))) {
        results.set(key, result.text)
      }
      return reply
    },
    watch: async (name, owner, client) => {
      const reply = await right.watch(name, owner, client)
      const text = results.get(at(name, owner))
      return reply.status === 'gone' && text !== undefined ? { status: 'result', text } : reply
    },
  }
}

function tells(
  right: Backend,
  tell: (event: Ended, listener: (event: GrantEvent) => void) => unknown,
): Partial<Backend> {
  return {
    onGrant: listener => right.onGrant(event => (event.type === 'ended' ? tell(event, listener) : listener(event))),
  }
}
