import type { Answers, Backend, ClaimId, LockState, ResultStore, Step, StoreEvent, WatchReply } from '../../backend.js'
import { invalidArgument, SoloistError } from '../../errors.js'
import { Calls } from './calls.js'
import { checkClient, connectionTo, keyPrefixOf, type RedisClient, type RedisConnection, type Send } from './client.js'
import { Grants } from './grants.js'
import { openIoredis } from './ioredis.js'
import { KeySpace, prefixOf } from './keys.js'
import { BEAT_MS, MOST_STEPS } from './protocol/limits.js'
import { scanReply } from './protocol/replies.js'

export interface RedisBackendOptions {
  /** What every key and channel starts with, after the client's own `keyPrefix`; default `'soloist:'`. */
  readonly prefix?: string | undefined
}

/** As many calls keep client and server at work at the same time; more would only be in the way of other clients. */
const CALLS_AT_ONCE = 2
/** On a cluster, where the calls of one list go to several servers. */
const CALLS_AT_ONCE_BY_SLOT = 16
const INSPECT_AT_ONCE = 100
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
  readonly mostSteps: number = MOST_STEPS
  readonly results: ResultStore = { watch: claim => this.#watch(claim) }
  readonly #keys: KeySpace
  readonly #channels: string
  readonly #open: () => Promise<RedisConnection>
  readonly #grants: Grants
  readonly #calls: Calls
  #connection: Promise<RedisConnection> | null = null
  #client = ''
  #listener: (event: StoreEvent) => void = () => {}
  /** Whether this client's channel is being subscribed for claims that wait already. */
  #subscribing = false
  #closed = false

  /** @param prefix all that comes before a name in its key */
  constructor(open: () => Promise<RedisConnection>, prefix: string) {
    const tell = (event: StoreEvent) => this.#listener(event)
    this.#open = open
    this.#keys = new KeySpace(prefix)
    this.#channels = `${prefix}grants:`
    this.#calls = new Calls(this.#keys, tell)
    this.#grants = new Grants(
      () => this.#connected(),
      this.#channels,
      tell,
      key => this.#keys.nameOf(key),
    )
  }

  get callsAtOnce(): number {
    return this.#calls.bySlot ? CALLS_AT_ONCE_BY_SLOT : CALLS_AT_ONCE
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#listener = listener
  }

  async run(steps: readonly Step[]): Promise<Answers> {
    const connection = await this.#connected()
    const hears = this.#grants.reaches(this.#client)
    const sender = { client: this.#client, channels: this.#channels, hears, cluster: connection.cluster }
    const answers = await this.#calls.run(connection, steps, sender)
    if (!hears && answers.steps.some(answer => answer.status === 'busy' && answer.ticket !== null)) this.#hear()
    return answers
  }

  async inspect(name: string): Promise<LockState | null> {
    const [state = null] = await this.#calls.inspect(await this.#connected(), [name])
    return state
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    const connection = await this.#connected()
    const listed = new Set<string>()
    for (const primary of await connection.primaries()) {
      for await (const keys of this.#scan(primary, prefix)) {
        const names = new Set(keys.map(key => this.#keys.nameOf(key)))
        const fresh = [...names].filter(name => name?.startsWith(prefix) && !listed.has(name)) as string[]
        for (const name of fresh) listed.add(name)
        for (let i = 0; i < fresh.length; i += INSPECT_AT_ONCE) {
          const some = fresh.slice(i, i + INSPECT_AT_ONCE)
          for (const state of await this.#calls.inspect(connection, some)) if (state !== null) yield state
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#grants.close()
    this.#calls.close()
    if (this.#connection === null) return
    const [opened] = await Promise.allSettled([this.#connection])
    if (opened?.status === 'fulfilled') opened.value.close()
  }

  async #watch(claim: ClaimId): Promise<WatchReply> {
    if (!this.#grants.reaches(this.#client)) await this.#grants.subscribe(this.#client)
    return await this.#calls.watch(await this.#connected(), claim, this.#client)
  }

  /**
   * Claims wait, and their grants may be missed until the client's channel is subscribed: then core is told to ask for
   * all that waits. A failure is told, and the next claim that waits, or the next beat of these, tries again.
   */
  #hear(): void {
    if (this.#subscribing) return
    this.#subscribing = true
    const done = (event: StoreEvent) => {
      this.#subscribing = false
      if (!this.#closed) this.#listener(event)
    }
    this.#grants.subscribe(this.#client).then(
      () => done({ type: 'gap' }),
      (error: unknown) => done({ type: 'fault', error }),
    )
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

  #connected(): Promise<RedisConnection> {
    this.#assertOpen()
    this.#connection ??= this.#open()
    return this.#connection
  }

  #assertOpen(): void {
    if (this.#closed) throw new SoloistError('CLOSED', 'this backend was closed')
  }
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
