import type {
  AcquireOptions,
  AcquireReply,
  Backend,
  Claim,
  GrantEvent,
  KeptResult,
  LockState,
  ReleaseReply,
  RenewReply,
  WatchReply,
} from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { scripts } from '../../internal/generated/redis.js'
import { Acquires, type Question } from './acquires.js'
import { KeySpace, prefixOf } from './keys.js'
import type { IoredisOptions } from './link/ioredis.js'
import type { Send } from './link/library.js'
import type { Link } from './link/link.js'
import { openLink, type RedisClient } from './link/open.js'
import { replyCode } from './link/replies.js'
import { acquireReplies, lockState, pushed, releaseReply, renewReplies, scanReply, watchReply } from './replies.js'

export interface RedisBackendOptions {
  /** What every key and channel starts with, after the client's own `keyPrefix`; default `'soloist:'`. */
  readonly prefix?: string | undefined
}

const OPTION_NAMES: OptionNames<RedisBackendOptions> = { prefix: true }
/** Below the 5 s for which `_lock.lua` holds a pushed grant, and a third of the 12 s for which a client counts as alive. */
const BEAT_MS = 4_000
const RENEW_AT_ONCE = 500
const INSPECT_AT_ONCE = 100
const SHOWN_WAITERS = 100
const SCAN_COUNT = '1000'

/**
 * Locks on Redis 7 or later, or anything that speaks and behaves like it.
 *
 * @param target where to connect to at the first call, with a client of ioredis that is closed with the backend: a URL
 *   (`redis:`, `rediss:`, `redis+sentinel:`, `rediss+sentinel:`, `redis+unix:`, `unix:`) or options of ioredis, which may
 *   name sentinels; or a client the application has (ioredis or node-redis, for one server, a cluster, or what sentinels
 *   know), which is used as it is, is never blocked, and stays open. For pushed grants a duplicate of it is opened when the
 *   first claim waits.
 * @throws SoloistError `INVALID_ARGUMENT` for a target or a prefix it cannot take; a URL is not repeated in the message
 */
export function redisBackend(
  target: string | IoredisOptions | RedisClient,
  options: RedisBackendOptions = {},
): Backend {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const link = openLink(target)
  return new RedisBackend(link, link.keyPrefix + prefixOf(options))
}

class RedisBackend implements Backend {
  readonly kind = 'redis'
  readonly beatMs: number = BEAT_MS
  readonly #keys: KeySpace
  readonly #channels: string
  readonly #link: Link
  readonly #acquires: Acquires = new Acquires(questions => this.#send(questions))
  #closed = false

  /** @param prefix all that comes before a name in its key */
  constructor(link: Link, prefix: string) {
    this.#link = link
    this.#keys = new KeySpace(prefix)
    this.#channels = `${prefix}grants:`
  }

  async acquire(claim: Claim, options: AcquireOptions = {}): Promise<AcquireReply> {
    if (options.ticket === undefined) return await this.#acquire(claim, options)
    const channel = this.#channels + claim.client
    if (this.#link.hears(channel)) {
      const reply = await this.#acquire(claim, options)
      // Its place was given up because nobody heard of it, or the queue is gone.
      if (reply.status === 'busy' && reply.requeued)
        this.#link.suspect('pushes', new Error('a waiting claim lost its place'))
      return reply
    }
    // A free lock needs no subscription; but a claim must not be queued before its grant can be heard.
    const { ticket: _, ...unqueued } = options
    const reply = await this.#acquire(claim, unqueued)
    if (reply.status !== 'busy') return reply
    await this.#link.hear(channel)
    return await this.#acquire(claim, options)
  }

  async renew(claims: readonly Claim[]): Promise<readonly RenewReply[]> {
    this.#assertOpen()
    const replies: RenewReply[] = []
    const renewBatch = async (batch: readonly number[]) => {
      const some = batch.map(i => claims[i] as Claim)
      const args = some.flatMap(({ mode, owner, ttlMs, meta }) => [
        letter(mode),
        owner,
        text(ttlMs),
        flag(meta !== null),
      ])
      try {
        const keys = some.flatMap(claim => this.#keys.keys(claim.name))
        const answers = renewReplies(await this.#run('renew', keys, args))
        batch.forEach((i, k) => {
          replies[i] = answers[k] as RenewReply
        })
      } catch (error) {
        // It was not known before that the server is one of a cluster.
        if (some.length > 1 && this.#isToBeSplit(error))
          return void (await Promise.all(batch.map(i => renewBatch([i]))))
        for (const i of batch) replies[i] = { status: 'fault', error }
      }
    }
    await Promise.all(batches(claims, this.#link.cluster).map(renewBatch))
    return replies
  }

  async release(claim: Claim, result?: KeptResult): Promise<ReleaseReply> {
    const args = [...this.#push(), letter(claim.mode), text(claim.limit), claim.owner, claim.client]
    const keys = [...this.#keys.keys(claim.name)]
    if (result !== undefined) {
      keys.push(this.#keys.result(claim.name, claim.owner))
      args.push(result.text, String(result.keepMs))
    }
    const release = async () => releaseReply(claim.name, await this.#run('release', keys, args))
    const { released, handed, more } = await release()
    const all = [...handed]
    // So many dead waiters that one call may not skip them all.
    for (let left = more; left; ) {
      const next = await release()
      all.push(...next.handed)
      left = next.more
    }
    return all.length === 0 ? { released } : { released, handed: all }
  }

  async watch(name: string, owner: string, client: string): Promise<WatchReply> {
    const channel = this.#channels + client
    if (!this.#link.hears(channel)) await this.#link.hear(channel)
    const keys = [...this.#keys.keys(name), this.#keys.result(name, owner)]
    return watchReply(await this.#run('watch', keys, [owner, client]))
  }

  onGrant(listener: (event: GrantEvent) => void): void {
    this.#link.listen({
      onMessage: message => {
        const event = pushed(message, key => this.#keys.nameOf(key))
        if (event !== null) listener(event)
      },
      onGap: () => listener({ type: 'gap' }),
      onFault: error => listener({ type: 'fault', error }),
    })
  }

  async inspect(name: string): Promise<LockState | null> {
    return lockState(name, await this.#run('inspect', this.#keys.keys(name), [String(SHOWN_WAITERS)]))
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    this.#assertOpen()
    const listed = new Set<string>()
    for (const primary of await this.#link.primaries()) {
      for await (const keys of this.#scan(primary, prefix)) {
        const names = new Set(keys.map(key => this.#keys.nameOf(key)))
        const fresh = [...names].filter(name => name?.startsWith(prefix) && !listed.has(name)) as string[]
        for (let i = 0; i < fresh.length; i += INSPECT_AT_ONCE) {
          const some = fresh.slice(i, i + INSPECT_AT_ONCE)
          for (const name of some) listed.add(name)
          for (const state of await Promise.all(some.map(name => this.inspect(name)))) if (state !== null) yield state
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#link.close()
  }

  async *#scan(send: Send, prefix: string): AsyncGenerator<readonly string[], void, undefined> {
    for (const pattern of this.#keys.patterns(prefix)) {
      let cursor = '0'
      do {
        this.#assertOpen()
        const reply = scanReply(await send(['scan', cursor, 'match', pattern, 'count', SCAN_COUNT]))
        cursor = reply.cursor
        yield reply.keys
      } while (cursor !== '0')
    }
  }

  async #acquire(claim: Claim, options: AcquireOptions): Promise<AcquireReply> {
    this.#assertOpen()
    if (!this.#link.cluster) return await this.#acquires.acquire({ claim, options })
    const [reply] = await this.#send([{ claim, options }])
    return reply as AcquireReply
  }

  /** Of one client. Sends at once. */
  async #send(questions: readonly Question[]): Promise<readonly AcquireReply[]> {
    this.#assertOpen()
    const { claim: first } = questions[0] as Question
    const keys: string[] = []
    const args = [...this.#push(), first.client]
    for (const { claim, options } of questions) {
      keys.push(...this.#keys.keys(claim.name))
      args.push(claim.owner, terms(claim, options))
      if (claim.meta !== null) args.push(claim.meta)
      if (options.replaces !== undefined) args.push(options.replaces)
    }
    return acquireReplies(await this.#evaluate('acquire', keys, args))
  }

  /** What a script needs to tell others of their grants. */
  #push(): readonly string[] {
    return [this.#channels, flag(this.#link.cluster)]
  }

  /** After the claims that were made before. */
  async #run(script: keyof typeof scripts, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    this.#assertOpen()
    this.#acquires.flush()
    return await this.#evaluate(script, keys, args)
  }

  /** By its digest; with its text where the server does not know it, as after a restart or a flush. */
  async #evaluate(script: keyof typeof scripts, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const { sha1, source } = scripts[script]
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.#link.send(keys[0] as string, ['evalsha', sha1, ...rest])
    } catch (error) {
      if (replyCode(error) !== 'NOSCRIPT') throw error
      return await this.#link.send(keys[0] as string, ['eval', source, ...rest])
    }
  }

  /** Whether a call with keys in several slots met a cluster. */
  #isToBeSplit(error: unknown): boolean {
    return this.#link.cluster && ['CROSSSLOT', 'MOVED', 'ASK'].includes(replyCode(error) ?? '')
  }

  #assertOpen(): void {
    if (this.#closed) throw new SoloistError('CLOSED', 'this backend was closed')
  }
}

/** Which claims may travel in one call: on a cluster, only those of one lock, whose keys share a slot. */
function batches(claims: readonly Claim[], cluster: boolean): readonly (readonly number[])[] {
  const byLock = new Map<string, number[]>()
  claims.forEach((claim, i) => {
    const lock = cluster ? claim.name : ''
    const batch = byLock.get(lock)
    if (batch === undefined) byLock.set(lock, [i])
    else batch.push(i)
  })
  const parts: number[][] = []
  for (const batch of byLock.values()) {
    for (let i = 0; i < batch.length; i += RENEW_AT_ONCE) parts.push(batch.slice(i, i + RENEW_AT_ONCE))
  }
  return parts
}

/** As `acquire.lua` reads them. */
function terms({ mode, limit, ttlMs, meta }: Claim, { ticket, replaces }: AcquireOptions): string {
  const flags = `${meta === null ? '' : 'm'}${replaces === undefined ? '' : 'r'}`
  return `${letter(mode)}${limit ?? ''},${ttlMs ?? ''},${ticket ?? ''},${flags}`
}

function letter(mode: Claim['mode']): string {
  return mode === 'exclusive' ? 'x' : 's'
}

function text(value: string | number | null): string {
  return value === null ? '' : String(value)
}

function flag(value: boolean): string {
  return value ? '1' : '0'
}
