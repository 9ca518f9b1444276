import { randomUUID } from 'node:crypto'
import { connect, type Lease, type Soloist } from 'soloist'
import { expect } from 'vitest'

/** The stores that `programs/locks.mjs` knows. */
export type StoreName = 'memory' | 'sqlite' | 'libsql' | 'url' | 'ioredis' | 'node-redis'

/** What needs no native addon. */
export const PORTABLE: readonly StoreName[] = ['memory', 'url', 'ioredis', 'node-redis']
/** `sqlite` is `node:sqlite` where there is one. */
export const ALL: readonly StoreName[] = [...PORTABLE, 'sqlite', 'libsql']

/** What `programs/locks.mjs` prints. */
export interface LocksTold extends Partial<Record<StoreName, StoreTold>> {
  readonly busy: { readonly typed: boolean; readonly holder: string | null }
}

interface StoreTold {
  readonly owner: string
  readonly shown: readonly string[]
  readonly again: unknown
  readonly redis: string | null
  readonly after: unknown
}

/** What `programs/jobs.mjs` prints. */
export interface JobsTold {
  readonly added: readonly { readonly id: string; readonly status: string }[]
  readonly locks: readonly { readonly owner: string; readonly oneStep: boolean; readonly redis: string | null }[]
  readonly result: { readonly id: string; readonly value: string }
  readonly greetings: readonly { readonly id: string; readonly status: string }[]
  readonly greeting: string
}

/** The Redis of all consumers, under a prefix of one test. Somebody else than the consumer holds the lock `busy`. */
export class Site implements AsyncDisposable {
  readonly url: string = String(process.env.SOLOIST_TEST_REDIS)
  readonly prefix = `${randomUUID().slice(0, 8)}:`
  readonly #solo: Soloist = connect(this.url, { prefix: this.prefix })
  #busy: Lease | null = null

  static async open(): Promise<Site> {
    const site = new Site()
    site.#busy = await site.#solo.lock('busy')
    return site
  }

  /** For the programs. */
  get env(): { REDIS_URL: string; PREFIX: string } {
    return { REDIS_URL: this.url, PREFIX: this.prefix }
  }

  get busyOwner(): string | undefined {
    return this.#busy?.owner
  }

  /** @param names in which stores it was to take them */
  expectLocks(told: LocksTold, names: readonly StoreName[]): void {
    for (const name of names) {
      const owner = told[name]?.owner
      expect(owner, name).toEqual(expect.stringMatching(/\S/))
      const redis = ['memory', 'sqlite', 'libsql'].includes(name) ? null : owner
      expect(told[name], name).toEqual({ owner, shown: [owner], again: null, redis, after: null })
    }
    expect(new Set(names.map(name => told[name]?.owner)).size).toBe(names.length)
    expect(told.busy).toEqual({ typed: true, holder: this.busyOwner })
  }

  /** @param oneStep whether job and lock are to be one step */
  expectJobs({ added, locks, result, greetings, greeting }: JobsTold, oneStep: boolean): void {
    const [first, again, next] = added
    expect([first?.status, again?.status, next?.status]).toEqual(['started', 'duplicate', 'started'])
    expect(again?.id).toBe(first?.id)
    expect(next?.id).not.toBe(first?.id)
    expect(result).toEqual({ id: first?.id, value: 'synced 7' })
    const owner = `bullmq:${this.prefix}bull:sync:${first?.id}`
    expect(locks).toEqual([{ owner, oneStep, redis: owner }])
    expect(greetings.map(({ status }) => status)).toEqual(['started', 'duplicate'])
    expect(greetings[1]?.id).toBe(greetings[0]?.id)
    expect(greeting).toBe('hello ada')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#solo.close()
  }
}
