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
import { invalidArgument, SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { scripts } from '../../internal/generated/redis.js'
import { Acquires, type Question } from './acquires.js'
import { checkClient, connectionTo, keyPrefixOf, type RedisClient, type RedisConnection, type Send } from './client.js'
import { Grants } from './grants.js'
import { openIoredis } from './ioredis.js'
import { KeySpace, prefixOf } from './keys.js'
import { acquireReplies, lockState, releaseReply, renewReplies, scanReply, watchReply } from './replies.js'

export interface RedisBackendOptions {
  /**
   * What every key and channel starts with, after the client's own `keyPrefix`; default `'soloist:'`. A client whose prefix
   * begins with that of another shares its locks with it, under shorter names.
   */
  readonly prefix?: string | undefined
}

const OPTION_NAMES: OptionNames<RedisBackendOptions> = { prefix: true }
/** Below the 5 s for which `_lock.lua` holds a pushed grant, and a third of the 12 s for which a client counts as alive. */
const BEAT_MS = 4_000
const RENEW_AT_ONCE = 500
const INSPECT_AT_ONCE = 100
const SHOWN_WAITERS = 100
const SCAN_COUNT = '1000'
/** As many as a server can be set up to have. */
const MOST_DATABASES = 2 ** 31 - 1

/**
 * Locks on Redis 7 or later, or anything that speaks and behaves like it.
 *
 * @param target a `redis:` or `rediss:` URL, for which a client of ioredis is opened at the first call and closed with
 *   the backend; or a client the application has (ioredis or node-redis, for one server or a cluster), which is used
 *   as it is, is never blocked, and stays open. For pushed grants a duplicate of it is opened when the first claim waits.
 * @throws SoloistError `INVALID_ARGUMENT` for a target or a prefix it cannot take; a URL is not repeated in the message
 */
export function redisBackend(target: string | RedisClient, options: RedisBackendOptions = {}): Backend {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const prefix = prefixOf(options)
  if (typeof target === 'string') {
    checkUrl(target)
    return new RedisBackend(() => openIoredis(target), prefix)
  }
  const client = checkClient(target)
  return new RedisBackend(async () => connectionTo(client), keyPrefixOf(client) + prefix)
}

class RedisBackend implements Backend {
  readonly kind = 'redis'
  readonly beatMs: number = BEAT_MS
  readonly #keys: KeySpace
  readonly #channels: string
  readonly #open: () => Promise<RedisConnection>
  readonly #grants: Grants
  readonly #acquires: Acquires = new Acquires(questions => this.#send(questions))
  #connection: Promise<RedisConnection> | null = null
  #listener: (event: GrantEvent) => void = () => {}
  #closed = false

  /** @param prefix all that comes before a name in its key */
  constructor(open: () => Promise<RedisConnection>, prefix: string) {
    this.#open = open
    this.#keys = new KeySpace(prefix)
    this.#channels = `${prefix}grants:`
    this.#grants = new Grants(
      () => this.#connected(),
      this.#channels,
      event => this.#listener(event),
      key => this.#keys.nameOf(key),
    )
  }

  async acquire(claim: Claim, options: AcquireOptions = {}): Promise<AcquireReply> {
    if (options.ticket === undefined || this.#grants.reaches(claim.client)) return await this.#acquire(claim, options)
    // A free lock needs no subscription; but a claim must not be queued before its grant can be heard.
    const { ticket: _, ...unqueued } = options
    const reply = await this.#acquire(claim, unqueued)
    if (reply.status !== 'busy') return reply
    await this.#grants.subscribe(claim.client)
    return await this.#acquire(claim, options)
  }

  async renew(claims: readonly Claim[]): Promise<readonly RenewReply[]> {
    const connection = await this.#connected()
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
        for (const i of batch) replies[i] = { status: 'fault', error }
      }
    }
    await Promise.all(batches(claims, connection.cluster).map(renewBatch))
    return replies
  }

  async release(claim: Claim, result?: KeptResult): Promise<ReleaseReply> {
    const connection = await this.#connected()
    const args = [...this.#push(connection), letter(claim.mode), text(claim.limit), claim.owner, claim.client]
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
    if (!this.#grants.reaches(client)) await this.#grants.subscribe(client)
    const keys = [...this.#keys.keys(name), this.#keys.result(name, owner)]
    return watchReply(await this.#run('watch', keys, [owner, client]))
  }

  onGrant(listener: (event: GrantEvent) => void): void {
    this.#listener = listener
  }

  async inspect(name: string): Promise<LockState | null> {
    return lockState(name, await this.#run('inspect', this.#keys.keys(name), [String(SHOWN_WAITERS)]))
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    const connection = await this.#connected()
    const listed = new Set<string>()
    for (const primary of await connection.primaries()) {
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
    this.#grants.close()
    if (this.#connection === null) return
    const [opened] = await Promise.allSettled([this.#connection])
    if (opened?.status === 'fulfilled') opened.value.close()
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
    const connection = await this.#connected()
    if (!connection.cluster) return await this.#acquires.acquire({ connection, claim, options })
    const [reply] = await this.#send([{ connection, claim, options }])
    return reply as AcquireReply
  }

  /** Of one client. Sends at once. */
  async #send(questions: readonly Question[]): Promise<readonly AcquireReply[]> {
    this.#assertOpen()
    const { connection, claim: first } = questions[0] as Question
    const keys: string[] = []
    const args = [...this.#push(connection), first.client]
    for (const { claim, options } of questions) {
      keys.push(...this.#keys.keys(claim.name))
      args.push(claim.owner, terms(claim, options))
      if (claim.meta !== null) args.push(claim.meta)
      if (options.replaces !== undefined) args.push(options.replaces)
    }
    return acquireReplies(await this.#evaluate(connection, 'acquire', keys, args))
  }

  /** What a script needs to tell others of their grants. */
  #push({ cluster }: RedisConnection): readonly string[] {
    return [this.#channels, flag(cluster)]
  }

  /** After the claims that were made before. */
  async #run(script: keyof typeof scripts, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const connection = await this.#connected()
    this.#acquires.flush()
    return await this.#evaluate(connection, script, keys, args)
  }

  /** By its digest; with its text where the server does not know it, as after a restart or a flush. */
  async #evaluate(
    connection: RedisConnection,
    script: keyof typeof scripts,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown> {
    const { sha1, source } = scripts[script]
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await connection.send(keys[0] as string, ['evalsha', sha1, ...rest])
    } catch (error) {
      if (errorCode(error) !== 'NOSCRIPT') throw error
      return await connection.send(keys[0] as string, ['eval', source, ...rest])
    }
  }

  #connected(): Promise<RedisConnection> {
    this.#assertOpen()
    this.#connection ??= this.#open()
    return this.#connection
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

/** The code of an error reply: by the protocol, the first word of what the server says. */
function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? error.message.split(' ', 1)[0] : undefined
}

/** @throws SoloistError `INVALID_ARGUMENT`; the URL is not repeated in the message */
export function checkUrl(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '') {
    throw invalidArgument('the Redis URL must be like redis://user:password@host:6379/0, or rediss: for TLS')
  }
  const database = parsed.pathname.replace(/^\//, '')
  // ioredis would take a `db` of the query too, whatever it says.
  if (!/^\d*$/.test(database) || Number(database) >= MOST_DATABASES || parsed.searchParams.has('db')) {
    throw invalidArgument('a Redis URL names its database by its path alone, which is a number')
  }
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
