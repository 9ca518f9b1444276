import type { Job, JobOptions, JobRun, Soloist } from 'soloist'
import type { Client } from '../support/world.js'
import { deferred } from './support.js'

/** What the triggers of a test's job bring: which of them a run has. */
export interface Args {
  readonly key: number
  readonly seqs: readonly string[]
}

/** One run, as its handler saw it. */
export interface Seen {
  readonly who: string
  readonly seqs: string
  readonly run: JobRun
}

/** One job in several clients, with the runs that there were, and how each is to end. */
export class Runs {
  readonly seen: Seen[] = []
  /** What each run waits for before it ends, in their order; default: nothing. */
  readonly ends: (Promise<void> | undefined)[] = []
  readonly #options: JobOptions<Args>

  constructor(options: JobOptions<Args>) {
    this.#options = options
  }

  /** The job in one client. */
  in(who: string, { solo }: { readonly solo: Soloist }): Job<Args, string> {
    return solo.job('j', { uniqueOn: ['key'], ...this.#options }, async ({ seqs }: Args, run) => {
      const end = this.ends[this.seen.length]
      this.seen.push({ who, seqs: seqs.join(' '), run })
      await end
      return seqs.join(' ')
    })
  }

  /** A run of this client that lasts until `end()`. */
  async live(client: Client): Promise<{ end: () => void }> {
    const gate = deferred()
    const before = this.seen.length
    this.ends[before] = gate.promise
    const { result } = await this.in('live', client).trigger(args('live'))
    result().catch(() => {})
    while (this.seen.length === before) await new Promise(setImmediate)
    return { end: () => gate.resolve() }
  }

  /** What each run had, with who ran it. */
  get all(): string[] {
    return this.seen.map(({ who, seqs }) => `${who}: ${seqs}`)
  }
}

export function args(...seqs: string[]): Args {
  return { key: 1, seqs }
}

/** Each trigger's part, in order. */
export function merge(pending: Args, newest: Args): Args {
  return { key: 1, seqs: [...pending.seqs, ...newest.seqs] }
}
