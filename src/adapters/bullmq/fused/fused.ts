import { loadBullmqScripts } from '../../../internal/peers/bullmq.js'
import { monotonicMs } from '../../../internal/real-time.js'
import { type Answer, answerIn, tagOf } from './answer.js'
import { Gathered } from './gathered.js'
import { type Taken, takenFrom } from './taken.js'
import { ACTIVE_IN_DELAYED, ADDS, addsFor, type Text, textsFor } from './texts.js'
import { UnderWay } from './under-way.js'

/** What BullMQ runs its scripts on: a client, or a pipeline or transaction of one. */
export interface Runner {
  runCommand(name: string, args: unknown[]): unknown
  exec?(...args: unknown[]): Promise<[unknown, unknown][] | null>
}

export interface Client extends Runner {
  readonly status: string
  readonly isCluster: boolean
  defineCommand(name: string, definition: { readonly numberOfKeys: number; readonly lua: string }): void
}

/** What runs BullMQ's scripts by their names: the backend of BullMQ 6, and `scripts` of BullMQ 5. */
export interface ScriptRunner {
  execCommand(client: Runner, name: string, args: unknown[]): unknown
}

/** What the script that adds a job is given beside what BullMQ gives it, and what it answers. */
export interface Adding {
  /** `''`: the job is no singleton. */
  readonly terms: string
  readonly todo: string
  readonly meta: string
  /** For a job whose id is the caller's: another one. */
  readonly freshId: string
  /** What the scripts of one flow are told. */
  readonly flow: object | null
  /** Of the job's claim. */
  readonly owner: string
  /** `null`: nothing was in the way, or there is no answer yet. */
  answer: Answer | null
  /** Whether it was sent, so that it may have been carried out. */
  sent: boolean
}

/** For a job that has no lock, or whose lock is a step of its own. */
export const UNLOCKED: Adding = {
  ...{ terms: '', todo: '', meta: '', freshId: '', flow: null, owner: '' },
  ...{ answer: null, sent: true },
}

/** Where a job that is being added has what it is added with, among its options. */
export const ADDING: unique symbol = Symbol('adding')

export interface FusedHost {
  /** What becomes of a job that comes to its start and finds its place taken. */
  readonly lapsed: 'snooze' | 'fail' | 'drop'
  /** A job that was taken up is to be run. */
  taken(jobId: string, taken: Taken): void
  /** A job did not hold the lock it should, when it was taken up or when it `ended`. */
  onLapse(jobId: string, key: string, ended: boolean): void
}

const IDLE_HOST: FusedHost = { lapsed: 'snooze', taken: () => {}, onLapse: () => {} }
/** Scripts that may answer a job that was taken up. */
const TAKES_UP: ReadonlySet<string> = new Set(['moveToActive', 'moveToFinished', 'moveToDelayed'])
/** After this long without an answer, Redis counts as one that does not answer: the default of `callTimeoutMs`. */
const LATE_MS = 5_000
/** For how long the state of the connection is not looked up again. */
const SEEN_FOR_MS = 2

/**
 * Makes the steps of a job's lock part of the scripts that BullMQ runs anyway: each is run within one of ours, which claims,
 * parks, gives up, grants and wakes. That takes locks on the queue's own Redis, which is no cluster, and scripts that are known
 * (`texts.ts`). Why so: docs/decisions/fused-with-bullmq.md.
 */
export class Fused {
  readonly #host: FusedHost
  /** Whether the scripts do the lock's part. */
  readonly #locks: boolean
  readonly #texts: ReadonlyMap<string, Text> | null
  readonly #defined = new WeakMap<object, boolean>()
  /** What is being added by pipelines that have not been sent. */
  readonly #pipelines = new WeakMap<object, Adding[]>()
  readonly #underWay = new UnderWay()
  /** Calls of pipelines, which may take long. */
  readonly #executing = new UnderWay()
  readonly #gathered = new Gathered(this.#underWay)
  #client: Client | null = null
  #answers = false
  #seenMs = Number.NEGATIVE_INFINITY

  /** @param host `null`: locks are elsewhere, and jobs are only added, several in a call */
  constructor(host: FusedHost | null = IDLE_HOST) {
    this.#host = host ?? IDLE_HOST
    this.#locks = host !== null
    const scripts = loadBullmqScripts()
    this.#texts = scripts === null ? null : host === null ? addsFor(scripts) : textsFor(scripts, host.lapsed)
  }

  /** @param client of the queue, once it is connected. @returns whether its scripts can be run within ours */
  async use(client: Promise<unknown>): Promise<boolean> {
    const connected = (await client) as Client
    if (!this.define(connected)) return false
    this.#client = connected
    return true
  }

  /** From now on what runs scripts with this runs ours. */
  install(runner: ScriptRunner): void {
    const exec = runner.execCommand.bind(runner)
    runner.execCommand = (client, name, args) => this.#exec(client, name, args) ?? exec(client, name, args)
  }

  /** Whether the scripts can be run there: makes them known to a client. */
  define(client: object): boolean {
    let can = this.#defined.get(client)
    if (can === undefined) {
      const { isCluster, runCommand, defineCommand } = client as Partial<Client>
      can = this.#texts !== null && isCluster === false && runCommand !== undefined && defineCommand !== undefined
      if (can) {
        for (const { name, keys, lua, names } of (this.#texts as ReadonlyMap<string, Text>).values()) {
          ;(client as Client).defineCommand(name, { numberOfKeys: names === undefined ? keys : 1, lua })
        }
      }
      this.#defined.set(client, can)
    }
    return can
  }

  /** Whether Redis can be expected to answer: it is connected, and nothing has waited for its answer for long. */
  answers(nowMs: number): boolean {
    if (nowMs - this.#seenMs >= SEEN_FOR_MS) {
      this.#seenMs = nowMs
      this.#answers = this.#client?.status === 'ready' && nowMs - (this.#underWay.sinceMs ?? nowMs) < LATE_MS
    }
    return this.#answers
  }

  /** What BullMQ is to add a job by in place of `runner`. */
  through<R>(runner: R, adding: Adding): R {
    if (adding === UNLOCKED && this.#defined.get(runner as object) !== true) return runner
    const run = (name: string, args: unknown[]) => this.#add(runner as Runner, name, args, adding)
    return { runCommand: run } as R
  }

  /** Runs a script of our own. */
  async own(name: 'sweep' | 'tidy' | 'folded' | 'stops' | 'forget', args: unknown[]): Promise<unknown> {
    const text = this.#texts?.get(name)
    if (this.#client === null || text === undefined) return null
    return await this.#client.runCommand(text.name, args)
  }

  #add(runner: Runner, name: string, args: unknown[], adding: Adding): unknown {
    const text = this.#texts?.get(name.slice(0, name.indexOf(':'))) as Text
    if (!this.#locks) return this.#gathered.run(runner, text, args)
    const isAlone = this.#defined.has(runner)
    adding.sent = isAlone || runner.exec === undefined
    args.push(adding.terms, `${adding.todo} ${adding.owner}`)
    const more = moreOf(adding, isAlone ? null : this.#tagIn(runner, adding))
    if (more !== '') args.push(more)
    if (!isAlone) return run(runner, text, args)
    return this.#gathered.run(runner, text, args).then(reply => {
      const id = understood(reply, adding)
      if (adding.answer !== null && STANDS.has(adding.answer.course)) throw new NotAdded()
      return id
    })
  }

  /**
   * What adds jobs is closed. ioredis that is told to quit while it has no connection forgets what was sent by the one before, and
   * neither answers nor rejects it: that fails here. Nothing is done about a connection that goes on.
   */
  ended(): void {
    if (this.#client?.status !== 'end') return
    this.#underWay.end()
    this.#executing.end()
  }

  /** The answers of a pipeline come all together: by what is returned here it is told whose they are. */
  #tagIn(runner: Runner, adding: Adding): string {
    let addings = this.#pipelines.get(runner)
    if (addings === undefined) {
      addings = []
      this.#pipelines.set(runner, addings)
      readAnswers(runner, addings, this.#executing)
    }
    return String(addings.push(adding) - 1)
  }

  /** @returns `undefined` where BullMQ's own is to be run */
  #exec(runner: Runner, name: string, args: unknown[]): unknown {
    const text = ADDS.has(name) ? undefined : this.#texts?.get(name)
    if (text === undefined || !this.define(runner)) return undefined
    const made = run(runner, text, args) as Promise<unknown>
    if (!TAKES_UP.has(name)) return made
    const sentAtMs = monotonicMs()
    return made.then(reply => this.#told(runner, name, text, args, reply, sentAtMs))
  }

  #told(runner: Runner, name: string, { keys }: Text, args: unknown[], reply: unknown, sentAtMs: number): unknown {
    if (!Array.isArray(reply) || reply.length < 4) return reply
    for (const [what, id, key] of (reply[5] ?? []) as ['lapsed' | 'ended', string, string][]) {
      this.#host.onLapse(id, key, what === 'ended')
    }
    if (reply[4] === 'more') {
      const again = nextArgs(name, keys, args)
      const text = this.#texts?.get('moveToActive') as Text
      const nowMs = monotonicMs()
      return (run(runner, text, again) as Promise<unknown>).then(next =>
        this.#told(runner, 'moveToActive', text, again, next, nowMs),
      )
    }
    if (Array.isArray(reply[0])) this.#host.taken(String(reply[1]), takenFrom(reply[0] as string[], sentAtMs))
    return reply
  }
}

function run(runner: Runner, { name, names }: Text, args: unknown[]): unknown {
  return runner.runCommand(name, names === undefined ? args : names.wordsOf([args]))
}

/** What is rarely needed. */
function moreOf({ meta, freshId, flow }: Adding, tag: string | null): string {
  if (meta === '' && freshId === '' && flow === null && tag === null) return ''
  return JSON.stringify({
    ...(meta === '' ? {} : { meta }),
    ...(freshId === '' ? {} : { fresh: freshId }),
    ...(flow === null ? {} : { flow }),
    ...(tag === null ? {} : { tag }),
  })
}

/** A job was not added, since another one stands for it, or it was refused: BullMQ is not to tell that it was. */
export class NotAdded extends Error {}

const STANDS: ReadonlySet<Answer['course']> = new Set(['met', 'noted', 'circular'])

/** Takes an answer of ours for what BullMQ is to be told: the id that covers the job. */
function understood(reply: unknown, adding: Adding): unknown {
  const answer = answerIn(reply)
  if (answer === null) return reply
  adding.answer = answer
  return answer.id
}

function readAnswers(runner: Runner, addings: readonly Adding[], executing: UnderWay): void {
  const exec = runner.exec?.bind(runner)
  if (exec === undefined) return
  runner.exec = async (...args) => {
    for (const adding of addings) adding.sent = true
    const results = await executing.until(exec(...args))
    for (const result of results ?? []) {
      const adding = addings[Number(tagOf(result[1]))]
      if (adding !== undefined) result[1] = understood(result[1], adding)
    }
    return results
  }
}

/** What a worker is given that is to take up another job behind a script that took up none. */
function nextArgs(name: string, keys: number, args: readonly unknown[]): unknown[] {
  const now = Date.now()
  switch (name) {
    case 'moveToFinished':
      return [...args.slice(0, 10), args[13], args[keys + 6], now, args[keys + 7]]
    case 'moveToDelayed':
      return [...(ACTIVE_IN_DELAYED[keys] ?? []).map(at => args[at - 1]), args[keys], now, args[keys + 8]]
    default:
      return [...args.slice(0, keys), args[keys], now, args[keys + 2]]
  }
}
