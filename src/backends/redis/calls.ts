import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Answers, ClaimId, HandedGrant, LockState, Step, StoreEvent, WatchReply } from '../../backend.js'
import { scripts } from '../../internal/generated/redis.js'
import type { RedisConnection } from './client.js'
import type { KeySpace } from './keys.js'
import { SHOWN, SHOWN_AT_ONCE } from './protocol/limits.js'
import { lockStates, type StepsReply, stepsReply, watchReply } from './protocol/replies.js'
import { encoded, inspectRequest, type Sender, stepsRequest, watchRequest } from './protocol/request.js'

/** While a slot moves, what was asked for there is asked for again after this long. */
const MOVING_MS = 50

/** The script calls of one client: lists of steps, split by slot where that has to be. */
export class Calls {
  readonly #keys: KeySpace
  readonly #listener: (event: StoreEvent) => void
  readonly #closing = new AbortController()
  /** Whether a script may use the keys of one slot only: on a cluster, also on one of a single node behind a plain URL. */
  #bySlot = false

  constructor(keys: KeySpace, listener: (event: StoreEvent) => void) {
    this.#keys = keys
    this.#listener = listener
  }

  /** Whether locks are in calls of their own, so that many calls are needed for a few steps. */
  get bySlot(): boolean {
    return this.#bySlot
  }

  async run(connection: RedisConnection, steps: readonly Step[], sender: Sender): Promise<Answers> {
    return await this.#perSlot(
      connection,
      () => this.#call(connection, steps, this.#keys.mark, sender),
      () => this.#apart(connection, steps, { ...sender, cluster: true }),
    )
  }

  async inspect(connection: RedisConnection, names: readonly string[]): Promise<readonly (LockState | null)[]> {
    return await this.#perSlot(
      connection,
      () => this.#inspect(connection, names),
      async () => (await Promise.all(names.map(name => this.#inspect(connection, [name])))).flat(),
    )
  }

  async watch(connection: RedisConnection, claim: ClaimId, client: string): Promise<WatchReply> {
    return watchReply(await this.#evaluate(connection, 'watch', watchRequest(claim, this.#keys, client)))
  }

  close(): void {
    this.#closing.abort()
  }

  async #perSlot<T>(connection: RedisConnection, together: () => Promise<T>, apart: () => Promise<T>): Promise<T> {
    this.#bySlot ||= connection.cluster
    if (!this.#bySlot) {
      try {
        return await together()
      } catch (error) {
        // Said before anything was done.
        if (errorCode(error) !== 'CROSSSLOT') throw error
        this.#bySlot = true
      }
    }
    return await apart()
  }

  async #inspect(connection: RedisConnection, names: readonly string[]): Promise<readonly (LockState | null)[]> {
    const states: (LockState | null)[] = []
    // A call that has enough to show leaves out the rest.
    while (states.length < names.length) {
      const rest = names.slice(states.length)
      const reply = await this.#evaluate(connection, 'inspect', inspectRequest(rest, this.#keys, SHOWN, SHOWN_AT_ONCE))
      states.push(...lockStates(rest, reply))
    }
    return states
  }

  /** By its digest; with its text where the server does not know it, as after a restart or a flush. */
  async #evaluate(
    connection: RedisConnection,
    script: keyof typeof scripts,
    request: readonly string[],
  ): Promise<unknown> {
    const { sha1, source } = scripts[script]
    const key = request[1] as string
    const command = ['evalsha', sha1, ...request]
    const ready = connection.sendReady === undefined ? null : encoded(command)
    try {
      return await (ready === null ? connection.send(key, command) : connection.sendReady?.(key, ready))
    } catch (error) {
      if (errorCode(error) !== 'NOSCRIPT') throw error
      return await connection.send(key, ['eval', source, ...request])
    }
  }

  /** One call for each fence mark: what has one mark is in one slot. */
  async #apart(connection: RedisConnection, steps: readonly Step[], sender: Sender): Promise<Answers> {
    const parts = new Map<string, number[]>()
    steps.forEach((step, i) => {
      const mark = this.#keys.markOf(step.kind === 'acquire' ? step.claim.name : step.name)
      const part = parts.get(mark)
      if (part === undefined) parts.set(mark, [i])
      else part.push(i)
    })
    const answers: Answer[] = []
    const handed: HandedGrant[] = []
    const ask = async ([mark, part]: readonly [string, readonly number[]]) => {
      const some = part.map(i => steps[i] as Step)
      const reply = await this.#part(connection, some, mark, sender)
      part.forEach((i, k) => {
        answers[i] = reply.steps[k] as Answer
      })
      handed.push(...reply.handed)
    }
    await Promise.all([...parts].map(ask))
    return { steps: answers, handed }
  }

  /** Never rejects. */
  async #part(connection: RedisConnection, steps: readonly Step[], mark: string, sender: Sender): Promise<Answers> {
    try {
      return await this.#call(connection, steps, mark, sender)
    } catch (error) {
      if (!isMoving(error)) return { steps: steps.map(() => ({ status: 'fault', error })), handed: [] }
      await Promise.allSettled([sleep(MOVING_MS, null, { signal: this.#closing.signal })])
      return { steps: steps.map(() => ({ status: 'again' })), handed: [] }
    }
  }

  async #call(connection: RedisConnection, steps: readonly Step[], mark: string, sender: Sender): Promise<Answers> {
    const reply = await this.#steps(connection, steps, mark, sender)
    let { unfinished } = reply
    try {
      while (unfinished.length > 0) {
        // What they had to release they have released; it may not be kept a second time.
        const rest = unfinished.map(step => ({ ...step, result: null }) as Step)
        const more = await this.#steps(connection, rest, mark, sender)
        reply.handed.push(...more.handed)
        unfinished = rest.filter(
          (_, i) => more.steps[i]?.status === 'again' || more.unfinished.includes(rest[i] as Step),
        )
      }
    } catch (error) {
      // What was done stands. Who waits there asks again at the next beat.
      this.#listener({ type: 'fault', error })
    }
    return reply
  }

  async #steps(connection: RedisConnection, steps: readonly Step[], mark: string, sender: Sender): Promise<StepsReply> {
    return stepsReply(steps, await this.#evaluate(connection, 'steps', stepsRequest(steps, this.#keys, mark, sender)))
  }
}

/** The code of an error reply: by the protocol, the first word of what the server says. */
function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? error.message.split(' ', 1)[0] : undefined
}

/** ioredis tells the server's last word behind its own, when it gave up following. */
const GAVE_UP = /^Too many Cluster redirections\. Last error: \w+: (?:TRYAGAIN|ASK|MOVED) /

/** Whether the slot is on its way from one node to another, where a lock without keys is found on neither. */
function isMoving(error: unknown): boolean {
  const code = errorCode(error)
  if (code === 'TRYAGAIN' || code === 'ASK' || code === 'MOVED') return true
  return error instanceof Error && GAVE_UP.test(error.message)
}
