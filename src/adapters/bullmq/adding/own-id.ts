import type { Lease, Soloist } from '../../../index.js'
import type { Answer } from '../fused/answer.js'
import type { Singleton } from '../lock/events.js'
import { newJobId } from '../lock/ids.js'
import type { Lives } from '../lock/lives.js'
import { ownerOf } from '../lock/owner.js'
import { Patience } from './fate.js'
import type { Trigger } from './trigger.js'

export interface OwnIdHost {
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

/** Who asks for an id: the last of a call that has it. */
interface Asker {
  readonly trigger: Trigger
  /** Whether anyone of the call waits for others that are about to add under it. */
  readonly waits: boolean
}

/** What became of asking for an id. */
interface Asked {
  readonly jobId: string
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
  /** By the name of the lock that is the id's. */
  readonly #asked: ReadonlyMap<string, Asked>

  private constructor(host: OwnIdHost, asked: ReadonlyMap<string, Asked>) {
    this.#host = host
    this.#asked = asked
  }

  /**
   * Asks for the ids of all that have one of their caller's. Never rejects. {@link Looks.end} is to be called.
   *
   * @param goesOn whether a trigger is added under another id where its own is known: then it does not wait for who is about to
   *   add under that, and takes it for known
   */
  static async at(
    host: OwnIdHost,
    triggers: readonly Trigger[],
    goesOn: (trigger: Trigger) => boolean,
  ): Promise<Looks> {
    const byName = new Map<string, Asker>()
    for (const trigger of triggers) {
      if (!trigger.hasOwnId) continue
      const name = lockOfId(trigger)
      byName.set(name, { trigger, waits: !goesOn(trigger) || byName.get(name)?.waits === true })
    }
    return new Looks(host, byName.size === 0 ? new Map() : await askForAll(host, byName))
  }

  /** Never rejects. */
  async of(trigger: Trigger): Promise<Look> {
    const { hasOwnId, definition, lock } = trigger
    const asked = hasOwnId ? this.#asked.get(lockOfId(trigger)) : undefined
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
    await Promise.all([...this.#asked.values()].map(asked => letGo(this.#host, asked)))
  }
}

/** The answer to a trigger whose id is known. */
export async function knownAnswer(lives: Lives, { lock, owner, jobId }: Trigger): Promise<Answer> {
  const running = await lives.of(lock, owner, null)
  return { course: 'known', id: jobId, running, pending: null, waiting: null, recovered: false }
}

/** The name of the lock of an id, in its queue. */
function lockOfId({ queue, jobId }: Trigger): string {
  return `job:${ownerOf(queue, jobId, false)}`
}

/** In the order of the names in all calls, so that no two wait for each other: who waits has only some that come before. */
async function askForAll(host: OwnIdHost, byName: ReadonlyMap<string, Asker>): Promise<Map<string, Asked>> {
  const all = new Map<string, Asked>()
  const names = [...byName.keys()].toSorted()
  const patience = new Patience((byName.get(names[0] as string) as Asker).trigger, host.graceMs)
  for (;;) {
    const missing = names.filter(name => !all.has(name))
    await Promise.all(
      missing.map(async name => {
        const asked = await askFor(host, name, byName.get(name) as Asker)
        if (asked !== null) all.set(name, asked)
      }),
    )
    const at = names.findIndex(name => !all.has(name))
    if (at === -1) return all
    await Promise.all(
      names.slice(at).map(async name => {
        const asked = all.get(name)
        if (asked === undefined || asked.lease === null) return
        all.delete(name)
        await letGo(host, asked)
      }),
    )
    const { jobId } = (byName.get(names[at] as string) as Asker).trigger
    try {
      await patience.wait()
    } catch (error) {
      all.set(names[at] as string, { jobId, lease: null, known: false, error })
    }
  }
}

/** @returns `null`: somebody is about to add a job of this id, perhaps */
async function askFor(host: OwnIdHost, name: string, { trigger, waits }: Asker): Promise<Asked | null> {
  const { solo, lives, graceMs } = host
  const { queue, jobId } = trigger
  let lease: Lease | null = null
  try {
    lease = await solo.jobs.claim(name, newJobId(), { ttlMs: Math.max(graceMs, 1) })
    const known = (lease === null && !waits) || (await lives.find({ queue, jobId, period: false })) !== null
    return lease === null && !known ? null : { jobId, lease, known, error: null }
  } catch (error) {
    return { jobId, lease, known: false, error }
  }
}

async function letGo({ singleton }: OwnIdHost, { jobId, lease }: Asked): Promise<void> {
  try {
    await lease?.release()
  } catch (error) {
    // It runs out.
    singleton.emit('fault', { during: 'add', error, id: jobId })
  }
}
