import type { Lease, Soloist } from '../../../index.js'
import type { Singleton } from '../lock/events.js'
import { newJobId } from '../lock/ids.js'
import type { Lives } from '../lock/lives.js'
import { ownerOf } from '../lock/owner.js'
import { Patience } from './fate.js'
import type { Trigger } from './trigger.js'

export interface OwnIdHost {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
  readonly graceMs: number
}

/** What is known of a job whose id is its caller's, before its lock is taken by a step of its own. */
export interface Look {
  /** Whether there is a job of this id; `soon`: another one of the same call has it. */
  readonly known: boolean | 'soon'
  /** Whether others are in the way of its lock. */
  readonly busy: boolean
  /** How many hold it. */
  readonly holding: number
  /** `null`: it was found out. */
  readonly error: unknown
}

export const NOTHING_KNOWN: Look = { known: false, busy: false, holding: 0, error: null }

/** What became of asking for an id. */
interface Asked {
  /** Nobody else adds under this id until it is released. */
  readonly lease: Lease | null
  readonly known: boolean
  readonly error: unknown
}

/**
 * What was found out before jobs are added. Of two that add under one id BullMQ makes one job, and tells neither: so only one at a
 * time looks for the id and adds, and the other one finds its job. Who dies meanwhile is waited for until `graceMs` have passed.
 */
export class Looks {
  readonly #host: OwnIdHost
  readonly #asked: ReadonlyMap<string, Asked>

  private constructor(host: OwnIdHost, asked: ReadonlyMap<string, Asked>) {
    this.#host = host
    this.#asked = asked
  }

  /** Asks for the ids of all that have one of their caller's. Never rejects. {@link Looks.end} is to be called. */
  static async at(host: OwnIdHost, triggers: readonly Trigger[]): Promise<Looks> {
    const own = triggers.filter(({ hasOwnId }) => hasOwnId)
    const byId = new Map(own.map(trigger => [trigger.jobId, trigger]))
    const [first] = own
    return new Looks(host, first === undefined ? new Map() : await askForAll(host, [...byId.keys()].toSorted(), first))
  }

  /** Never rejects. */
  async of({ hasOwnId, jobId, definition, lock }: Trigger): Promise<Look> {
    const asked = hasOwnId ? this.#asked.get(jobId) : undefined
    if (asked === undefined) return NOTHING_KNOWN
    const { known, error } = asked
    if (known || error !== null) return { ...NOTHING_KNOWN, known, error }
    try {
      const { limit } = definition
      const state = await this.#host.solo.jobs.inspect(lock)
      const room = limit !== null && state !== null && state.holding < limit
      const busy = state !== null && !(room && state.pending === null && state.waiting === 0)
      return { known, busy, holding: state?.holding ?? 0, error: null }
    } catch (fault) {
      return { ...NOTHING_KNOWN, error: fault }
    }
  }

  /** The jobs are added, or will not be. Never rejects. */
  async end(): Promise<void> {
    await Promise.all([...this.#asked].map(([id, asked]) => letGo(this.#host, id, asked)))
  }
}

/** @param ids in the order of all calls, so that no two wait for each other: who waits has only some that come before */
async function askForAll(host: OwnIdHost, ids: readonly string[], first: Trigger): Promise<Map<string, Asked>> {
  const all = new Map<string, Asked>()
  const patience = new Patience(first, host.graceMs)
  for (;;) {
    const missing = ids.filter(id => !all.has(id))
    await Promise.all(
      missing.map(async id => {
        const asked = await askFor(host, id)
        if (asked !== null) all.set(id, asked)
      }),
    )
    const at = ids.findIndex(id => !all.has(id))
    if (at === -1) return all
    await Promise.all(
      ids.slice(at).map(async id => {
        const asked = all.get(id)
        if (asked === undefined || asked.lease === null) return
        all.delete(id)
        await letGo(host, id, asked)
      }),
    )
    try {
      await patience.wait()
    } catch (error) {
      all.set(ids[at] as string, { lease: null, known: false, error })
    }
  }
}

/** @returns `null`: somebody is about to add a job of this id, perhaps */
async function askFor(host: OwnIdHost, id: string): Promise<Asked | null> {
  const { solo, lives, qualifiedName, graceMs } = host
  let lease: Lease | null = null
  try {
    lease = await solo.jobs.claim(`job:${ownerOf(qualifiedName, id, false)}`, newJobId(), {
      ttlMs: Math.max(graceMs, 1),
    })
    const known = (await lives.own(id)) !== undefined
    return lease === null && !known ? null : { lease, known, error: null }
  } catch (error) {
    return { lease, known: false, error }
  }
}

async function letGo({ singleton }: OwnIdHost, id: string, { lease }: Asked): Promise<void> {
  try {
    await lease?.release()
  } catch (error) {
    // It runs out.
    singleton.emit('fault', { during: 'add', error, id })
  }
}
