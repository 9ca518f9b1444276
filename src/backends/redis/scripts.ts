import type { Answer, Answers, Busy, ClaimId, HandedGrant, LockState, Step, WatchReply } from '../../backend.js'
import { scripts } from '../../internal/generated/redis.js'
import { claimOf } from '../../internal/step-names.js'
import type { RestartGuard } from './guard.js'
import type { KeySpace } from './keys.js'
import type { Link } from './link/link.js'
import { isRedirection, isSoon, replyCode } from './link/replies.js'
import { SHOWN, SHOWN_AT_ONCE } from './protocol/limits.js'
import { lockStates, type StepsReply, stepsReply, watchReply, wrongServerIn } from './protocol/replies.js'
import { inspectRequest, Request, type Sender, stepsRequest, watchRequest } from './protocol/request.js'
import { isAscii, words } from './protocol/words.js'

/** What is to be told of calls. */
export interface ScriptsHost {
  /** A failure that no step can be told of. */
  onFault(error: unknown): void
  /** A step was answered that its claim waits. */
  onBusy(step: Step, answer: Busy, sender: Sender): void
}

/** What the scripts do, over one link: split by slot where all keys of a call have to be in one. */
export class Scripts {
  readonly #link: Link
  readonly #keys: KeySpace
  readonly #guard: RestartGuard
  readonly #host: ScriptsHost

  constructor(link: Link, keys: KeySpace, guard: RestartGuard, host: ScriptsHost) {
    this.#link = link
    this.#keys = keys
    this.#guard = guard
    this.#host = host
  }

  run(steps: readonly Step[], sender: Sender): Promise<Answers> {
    if (this.#link.cluster) return this.#apart(steps, sender)
    return this.#call(steps, this.#keys.mark, sender, error => {
      if (this.#isToBeSplit(error)) return this.#apart(steps, sender)
      throw error
    })
  }

  async inspect(names: readonly string[]): Promise<readonly (LockState | null)[]> {
    if (this.#link.cluster) return await this.#inspectApart(names)
    try {
      return await this.#inspect(names)
    } catch (error) {
      if (this.#isToBeSplit(error)) return await this.#inspectApart(names)
      throw error
    }
  }

  watch(claim: ClaimId, client: string): Promise<WatchReply> {
    return this.#evaluate('watch', watchRequest(claim, this.#keys, client), rethrow, watchReply)
  }

  /** Said before anything was done, by a server of whom it was not known before that it is one of a cluster. */
  #isToBeSplit(error: unknown): boolean {
    const code = replyCode(error)
    return this.#link.cluster && (code === 'CROSSSLOT' || isRedirection(code))
  }

  /** One call for each fence mark: what has one mark is in one slot. What fails is a matter of its own steps. */
  async #apart(steps: readonly Step[], from: Sender): Promise<Answers> {
    const sender = { ...from, cluster: true }
    const parts = this.#byMark(steps.map(step => claimOf(step).name))
    const answers: Answer[] = []
    const handed: HandedGrant[] = []
    const ask = async (mark: string, part: readonly number[]) => {
      try {
        const some = part.map(i => steps[i] as Step)
        const reply = await this.#call(some, mark, sender)
        part.forEach((i, k) => {
          answers[i] = reply.steps[k] as Answer
        })
        handed.push(...reply.handed)
      } catch (error) {
        const answer: Answer = { status: 'fault', error }
        await Promise.all(
          part.map(async i => {
            answers[i] = isOnItsWay(error) ? await this.#moving(steps[i] as Step) : answer
          }),
        )
      }
    }
    await Promise.all([...parts].map(([mark, part]) => ask(mark, part)))
    return { steps: answers, handed }
  }

  async #inspectApart(names: readonly string[]): Promise<readonly (LockState | null)[]> {
    const states: (LockState | null)[] = []
    const ask = async (part: readonly number[]) => {
      const some = await this.#inspect(part.map(i => names[i] as string))
      part.forEach((i, k) => {
        states[i] = some[k] as LockState | null
      })
    }
    await Promise.all([...this.#byMark(names).values()].map(ask))
    return states
  }

  /** The places of the names that have one fence mark. */
  #byMark(names: readonly string[]): Map<string, number[]> {
    const parts = new Map<string, number[]>()
    names.forEach((name, i) => {
      const mark = this.#keys.markOf(name)
      const part = parts.get(mark)
      if (part === undefined) parts.set(mark, [i])
      else part.push(i)
    })
    return parts
  }

  /** A step of a lock whose slot moves: a lease can be kept meanwhile, everything else has to wait. */
  async #moving(step: Step): Promise<Answer> {
    if (step.kind !== 'renew') return { status: 'again' }
    const { lock, queue } = this.#keys.keys(step.name)
    try {
      for (const key of [lock, queue]) {
        const request = new Request()
          .key(key)
          .arg(step.owner)
          .arg(String(step.ttlMs ?? 0))
        if ((await this.#evaluate('moving', request, rethrow, Number)) === 1) return { status: 'held', fence: null }
      }
    } catch (error) {
      return isOnItsWay(error) ? { status: 'again' } : { status: 'fault', error }
    }
    return { status: 'lost' }
  }

  #call(
    steps: readonly Step[],
    mark: string,
    sender: Sender,
    failed: (error: unknown) => Promise<Answers> = rethrow,
  ): Promise<Answers> {
    return this.#evaluate('steps', stepsRequest(steps, this.#keys, mark, sender), failed, reply => {
      const told = this.#told(steps, sender, reply)
      return told.unfinished.length === 0 ? told : this.#finish(told, mark, sender)
    })
  }

  #told(steps: readonly Step[], sender: Sender, reply: unknown): StepsReply {
    const told = stepsReply(steps, reply)
    this.#guard.heard(told.guard)
    for (let i = 0; i < steps.length; i += 1) {
      const answer = told.steps[i] as Answer
      if (answer.status === 'busy') this.#host.onBusy(steps[i] as Step, answer, sender)
    }
    return told
  }

  /** Sends releases until they have granted all there is to grant. */
  async #finish(reply: StepsReply, mark: string, sender: Sender): Promise<Answers> {
    let { unfinished } = reply
    try {
      while (unfinished.length > 0) {
        const rest = unfinished
        const request = stepsRequest(rest, this.#keys, mark, sender)
        const more = await this.#evaluate('steps', request, rethrow, again => this.#told(rest, sender, again))
        reply.handed.push(...more.handed)
        unfinished = rest.filter((step, i) => more.steps[i]?.status === 'again' || more.unfinished.includes(step))
      }
    } catch (error) {
      // What was done stands, and is answered. Who waits there asks again at the next beat.
      this.#host.onFault(error)
    }
    return reply
  }

  /** Sends all names at once, and what a call left out since it had enough to show once more. */
  async #inspect(names: readonly string[]): Promise<readonly (LockState | null)[]> {
    const states: (LockState | null)[] = []
    while (states.length < names.length) {
      const rest = names.slice(states.length)
      const request = inspectRequest(rest, this.#keys, SHOWN, SHOWN_AT_ONCE)
      states.push(...(await this.#evaluate('inspect', request, rethrow, reply => lockStates(rest, reply))))
    }
    return states
  }

  /** By its digest; with its text where the server does not know it, as after a restart or a flush. */
  #evaluate<T>(
    script: keyof typeof scripts,
    request: Request,
    failed: (error: unknown) => T | Promise<T>,
    then: (reply: unknown) => T | Promise<T>,
  ): Promise<T> {
    const { sha1, source } = scripts[script]
    const key = request.firstKey
    const command = request.command('evalsha', sha1)
    const blame = script === 'steps' ? wrongServerIn : null
    const sent = isAscii(command)
      ? this.#link.sendBytes(key, command, blame)
      : this.#link.send(key, words(command), blame)
    return sent.then(then, (error: unknown) => {
      if (replyCode(error) !== 'NOSCRIPT') return failed(error)
      return this.#link.send(key, words(request.command('eval', source)), blame).then(then, failed)
    })
  }
}

function rethrow(error: unknown): never {
  throw error
}

/** ioredis tells the server's last word behind its own, when it gave up following. */
const GAVE_UP = /^Too many Cluster redirections\. Last error: \w+: (?:TRYAGAIN|ASK|MOVED) /

/** Whether the slot is on its way from one server to another, where a lock without keys is found on neither. */
function isOnItsWay(error: unknown): boolean {
  const code = replyCode(error)
  return isSoon(code) || isRedirection(code) || (error instanceof Error && GAVE_UP.test(error.message))
}
