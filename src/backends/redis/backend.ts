import type {
  Answer,
  Answers,
  Backend,
  ClaimId,
  LockState,
  ResultStore,
  Step,
  StoreEvent,
  WatchReply,
} from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { checkMs, checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { RestartGuard } from './guard.js'
import { hashTagsOf, KeySpace, prefixOf } from './keys.js'
import type { IoredisOptions } from './link/ioredis.js'
import type { Send } from './link/library.js'
import type { Link } from './link/link.js'
import { openLink, type RedisClient } from './link/open.js'
import { BEAT_MS, MOST_STEPS } from './protocol/limits.js'
import { pushed } from './protocol/push.js'
import { scanReply } from './protocol/replies.js'
import { Scripts } from './scripts.js'

export interface RedisBackendOptions {
  /**
   * What every key and channel starts with, after the client's own `keyPrefix`; default `'soloist:'`. A client whose prefix
   * begins with that of another shares its locks with it, under shorter names.
   */
  readonly prefix?: string | undefined
  /**
   * For a cluster: among how many hash tags all locks are divided, 1 to 1,024; default: each lock has a slot of its own. Calls
   * for many locks then travel together, at most one script call for each tag. Those slots carry all the load. A lock's key is
   * prefix + `{TAG}:` + name then. Every client of a lock must have the same number: with another it is another lock.
   */
  readonly hashTags?: number | undefined
  /**
   * A server that keeps no log (`appendonly no`) forgets its locks when it is started again, while their holders still count on
   * them. With this option no lock is granted until it has run for so long, in milliseconds, at most 24 days: give the longest
   * `ttlMs` that any client of these locks has. Claims wait meanwhile, also after the first start of a new server; a `fault`
   * event tells of it. Every client of a lock needs it. Default: nothing waits.
   */
  readonly restartGuardMs?: number | undefined
}

const OPTION_NAMES: OptionNames<RedisBackendOptions> = { prefix: true, hashTags: true, restartGuardMs: true }
/** As many keep client and server at work at the same time; more would only be in the way of other clients. */
const CALLS_AT_ONCE = 4
/** Where a list is many calls, and they go to several servers. */
const CALLS_AT_ONCE_BY_SLOT = 16
const INSPECT_AT_ONCE = 100
const SCAN_COUNT = '1000'

/**
 * Locks on Redis 7 or later, or anything that speaks and behaves like it.
 *
 * @param target where to connect to at the first call, with a client of ioredis that is closed with the backend: a URL
 *   (`redis:`, `rediss:`, `redis+sentinel:`, `rediss+sentinel:`, `redis+unix:`, `unix:`) or options of ioredis, which may
 *   name sentinels; or a client the application has (ioredis or node-redis, for one server, a cluster, or what sentinels
 *   know), which is used as it is, is never blocked, and stays open. For pushed grants a duplicate of it is opened when the
 *   first claim waits.
 * @throws SoloistError `INVALID_ARGUMENT` for a target or an option it cannot take; a URL is not repeated in the message
 */
export function redisBackend(
  target: string | IoredisOptions | RedisClient,
  options: RedisBackendOptions = {},
): Backend {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const tags = hashTagsOf(options)
  const { restartGuardMs } = options
  const guardMs = restartGuardMs === undefined ? null : checkMs('restartGuardMs', restartGuardMs, 1)
  const link = openLink(target)
  const prefix = link.keyPrefix + prefixOf(options)
  return new RedisBackend(link, prefix, new KeySpace(prefix, tags), guardMs)
}

class RedisBackend implements Backend {
  readonly kind = 'redis'
  readonly beatMs: number = BEAT_MS
  readonly mostSteps: number = MOST_STEPS
  readonly results: ResultStore = { watch: claim => this.#watch(claim) }
  readonly #keys: KeySpace
  readonly #channels: string
  readonly #link: Link
  readonly #guard: RestartGuard
  readonly #scripts: Scripts
  #client = ''
  /** On which this client hears of its grants. */
  #channel = ''
  #listener: (event: StoreEvent) => void = () => {}
  /** Whether this client's channel is being subscribed for claims that wait already. */
  #subscribing = false
  #closed = false

  /** @param prefix what channels start with */
  constructor(link: Link, prefix: string, keys: KeySpace, guardMs: number | null) {
    this.#link = link
    this.#keys = keys
    this.#channels = `${prefix}grants:`
    const onFault = (error: unknown) => this.#listener({ type: 'fault', error })
    this.#guard = new RestartGuard(guardMs, onFault)
    this.#scripts = new Scripts(link, this.#keys, this.#guard, {
      onFault,
      onBusy: (step, answer, { heard }) => {
        if (!isDurable(step)) this.#onBusy(answer, heard)
      },
    })
  }

  get callsAtOnce(): number {
    return this.#link.cluster ? CALLS_AT_ONCE_BY_SLOT : CALLS_AT_ONCE
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#channel = this.#channels + client
    this.#listener = listener
    this.#link.listen({
      onMessage: message => listener(pushed(message, key => this.#keys.nameOf(key))),
      onGap: () => listener({ type: 'gap' }),
      onFault: error => listener({ type: 'fault', error }),
    })
  }

  run(steps: readonly Step[]): Promise<Answers> {
    if (this.#closed) return Promise.reject(closed())
    if (steps.length === 0) return Promise.resolve({ steps: [], handed: [] })
    const client = this.#client
    const heard = this.#link.hears(this.#channel)
    const hears = this.#link.hearsNow(this.#channel)
    const sender = { client, channels: this.#channels, heard, hears, cluster: false, guardMs: this.#guard.ms }
    return this.#scripts.run(steps, sender)
  }

  async inspect(name: string): Promise<LockState | null> {
    this.#assertOpen()
    const [state = null] = await this.#scripts.inspect([name])
    return state
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    this.#assertOpen()
    const listed = new Set<string>()
    for (const primary of await this.#link.primaries()) {
      for await (const keys of this.#scan(primary, prefix)) {
        const names = new Set(keys.map(key => this.#keys.nameOf(key)))
        const fresh = [...names].filter(name => name?.startsWith(prefix) && !listed.has(name)) as string[]
        for (const name of fresh) listed.add(name)
        for (let i = 0; i < fresh.length; i += INSPECT_AT_ONCE) {
          const states = await this.#scripts.inspect(fresh.slice(i, i + INSPECT_AT_ONCE))
          for (const state of states) if (state !== null) yield state
        }
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#link.close()
  }

  async #watch(claim: ClaimId): Promise<WatchReply> {
    this.#assertOpen()
    if (!this.#link.hears(this.#channel)) await this.#link.hear(this.#channel)
    return await this.#scripts.watch(claim, this.#client)
  }

  /** @param heard whether this client's channel had been subscribed when the claim was sent */
  #onBusy({ ticket, requeued }: Answer & { readonly status: 'busy' }, heard: boolean): void {
    if (ticket === null) return
    if (!heard) this.#hear()
    // Its place was given up because nobody heard of it, or the queue is gone.
    else if (requeued) this.#link.suspect('pushes', new Error('a waiting claim lost its place'))
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
    this.#link.hear(this.#channel).then(
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

  #assertOpen(): void {
    if (this.#closed) throw closed()
  }
}

/** Whether the step's claim waits without its client, which is not told by a push. */
function isDurable(step: Step): boolean {
  return (step.kind === 'acquire' || step.kind === 'trigger') && step.claim.durable === true
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this backend was closed')
}
