import { SoloistError } from '../../../errors.js'
import { systemClock, type Timer } from '../../../internal/clock.js'
import { RingLink } from '../../../internal/ring.js'
import { words } from '../protocol/words.js'
import { backoffMs } from './backoff.js'
import type { Blame, Connection, Send, Source } from './library.js'
import { isRedirection, isSoon, isWrongServer, replyCode, withoutCommand } from './replies.js'
import { LOOK_MS, Silence } from './silence.js'

/** A call that cannot be sent fails after so many looks: a short outage is ridden out. */
const OUTAGE_LOOKS = 4
/** The same for a call which a cluster says will be answered soon. Below the time core gives a call. */
const SOON_LOOKS = 8
/** Whatever happens, a call is over after so many. */
const LONGEST_LOOKS = 20
const RETRY_MS = 100
/** A connection that was good for nothing is not replaced again before it is so old. */
const NEW_MS = 500
/** A connection that lived so long was a good one. */
const GOOD_MS = 10_000

/**
 * A call until it is settled. They wait in a ring and not in a `Set`: one that gains and loses entries all the time leaves
 * tables behind of which each points to the next, so that what their calls held outlives many garbage collections.
 */
class Call {
  readonly #link = new RingLink<Call>(this)
  readonly key: string
  /** As words, or as the bytes that it is in the protocol's own form. */
  readonly command: readonly string[] | string
  /** What speaks against the server in a reply that is no error as a whole; `undefined`: nothing. */
  readonly blame: Blame | null
  /** The one way to send it, which ends with its connection; else any connection will do. */
  readonly via: Send | null
  resolve!: (reply: unknown) => void
  reject!: (error: unknown) => void
  /** The look after which it came. */
  readonly since: number
  /** Where its answer is awaited; `null` while it is to be sent. */
  on: Connection | null = null
  /** Whether a suspicion has cost it a connection before. */
  moved = false
  soon = false
  /** Why it failed the last time. */
  error: unknown

  constructor(key: string, command: Call['command'], blame: Blame | null, via: Send | null, since: number) {
    this.key = key
    this.command = command
    this.blame = blame
    this.via = via
    this.since = since
  }

  get pending(): boolean {
    return !this.#link.alone
  }

  join(ring: RingLink<Call>): void {
    ring.append(this.#link)
  }

  /** It is to be settled now. @returns whether it had not been before */
  end(): boolean {
    if (!this.pending) return false
    this.#link.leave()
    return true
  }
}

/** What the owner of the calls does about what they show. */
export interface CallEvents {
  /** A good answer, the first one, or the first after a suspicion. */
  onAnswer(): void
  /** The connection is not to be trusted, or is over; `replaced` where it was ours. */
  onSuspicion(why: unknown, replaced: boolean): void
}

/**
 * The connection for commands, and the calls under way on it. Every call settles. Calls are safe to repeat: one that was
 * not answered by a connection is sent again on the next.
 */
export class Calls {
  /** Whether all keys of a call must be in one slot. */
  bySlot = false
  readonly #source: Source
  readonly #events: CallEvents
  /** In the order in which they came. */
  readonly #pending = new RingLink<Call>()
  #connection: Connection | null = null
  #loading = false
  #loaded = false
  #closed = false
  /** Until the next connection is opened. */
  #reopen: Timer | null = null
  #retry: Timer | null = null
  #look: Timer | null = null
  #looks = 0
  readonly #silence = new Silence()
  #openedAt = 0
  /** Whether the present connection has given a good answer. */
  #answered = false
  /** Whether there has been no good answer since the last suspicion, or at all. */
  #doubted = true
  /** Connections that did not live long, one after the other. */
  #failures = 0
  /** What the library reported last. */
  #trouble: unknown
  /** The server does not take us: only a call opens the next connection. */
  #refused = false

  constructor(source: Source, events: CallEvents) {
    this.#source = source
    this.#events = events
  }

  get cluster(): boolean {
    return this.bySlot || this.#connection?.cluster === true
  }

  /** Sends at once where there is a connection. */
  send(
    key: string,
    command: readonly string[] | string,
    blame: Blame | null = null,
    via: Send | null = null,
  ): Promise<unknown> {
    if (this.#closed) return Promise.reject(closed())
    const call = new Call(key, command, blame, via, this.#looks)
    const settled = new Promise((resolve, reject) => {
      call.resolve = resolve
      call.reject = reject
    })
    call.join(this.#pending)
    this.#look ??= systemClock.setTimer(LOOK_MS, () => this.#lookAtThem(), { background: true })
    if (this.#connection !== null) this.#dispatch(call, this.#connection)
    else if (this.#reopen === null) this.#open()
    return settled
  }

  /** One for every primary of a cluster; else for the one server. */
  async primaries(): Promise<readonly Send[]> {
    if (this.#connection === null) await this.send('', ['ping'])
    const connection = this.#connection
    if (connection?.cluster !== true) return [args => this.send('', args)]
    const sends = await connection.primaries()
    return sends.map(
      (send): Send =>
        args =>
          this.send('', args, null, send),
    )
  }

  /**
   * The connection is not to be trusted. One that is ours is replaced, and what was not answered is sent again.
   *
   * @returns whether it is replaced: not when it is new and has been no good yet, since the next would be no better
   */
  suspect(why: unknown): boolean {
    if (this.#closed) return false
    const { own } = this.#source
    const isNew = !this.#answered && systemClock.monotonicMs() - this.#openedAt < NEW_MS
    const replaced = own && !isNew
    if (replaced) {
      this.#failures = 0
      this.#drop(why)
    }
    this.#tell(why, own)
    return replaced
  }

  close(): void {
    this.#closed = true
    for (const timer of [this.#reopen, this.#retry, this.#look]) timer?.cancel()
    this.#connection?.drop()
    this.#connection = null
    this.#rejectAll(closed())
  }

  #open(): void {
    if (this.#connection !== null || this.#loading || this.#closed) return
    if (!this.#loaded) return this.#load()
    this.#refused = false
    this.#silence.startAgain()
    this.#answered = false
    this.#openedAt = systemClock.monotonicMs()
    const isPresent = () => this.#connection === connection
    const connection: Connection = this.#source.connect({
      onTrouble: error => {
        if (isPresent()) this.#trouble = error
      },
      onRefused: error => {
        if (!isPresent()) return
        this.#trouble = error
        this.#refused = true
        this.#rejectAll(error)
      },
      onEnd: () => {
        if (!isPresent()) return
        const why = this.#trouble ?? new Error('the connection was closed')
        const told = this.#answered
        this.#drop(why)
        // Of a first connection that fails, the calls are told.
        if (told) this.#tell(why, true)
      },
    })
    this.#connection = connection
    for (const call of this.#pending.all()) this.#dispatch(call, connection)
  }

  #load(): void {
    this.#loading = true
    const done = (then: () => void) => {
      this.#loading = false
      then()
    }
    this.#source.load().then(
      () =>
        done(() => {
          this.#loaded = true
          this.#open()
        }),
      (error: unknown) => done(() => this.#rejectAll(error)),
    )
  }

  /** Lets go of our connection and opens the next one, later each time. */
  #drop(why: unknown): void {
    const connection = this.#connection
    if (connection === null) return
    this.#connection = null
    connection.drop()
    for (const call of this.#pending.all()) {
      if (call.on !== connection) continue
      call.on = null
      call.error = why
      if (call.via !== null) this.#fail(call, why)
    }
    const good = this.#answered && systemClock.monotonicMs() - this.#openedAt > GOOD_MS
    this.#failures = good ? 0 : this.#failures + 1
    if (this.#refused) return
    this.#reopen ??= systemClock.setTimer(backoffMs(this.#failures), () => {
      this.#reopen = null
      this.#open()
    })
  }

  #dispatch(call: Call, connection: Connection): void {
    call.on = connection
    this.#sent(call, connection).then(
      reply => this.#onReply(call, connection, reply),
      (error: unknown) => this.#onError(call, connection, error),
    )
  }

  /** A library that throws instead of rejecting is treated alike. */
  #sent({ key, command, via }: Call, connection: Connection): Promise<unknown> {
    try {
      const encoded = typeof command === 'string'
      if (encoded && via === null && connection.sendBytes !== null) return connection.sendBytes(key, command)
      const args = encoded ? words(command) : command
      return via === null ? connection.send(key, args) : via(args)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #onReply(call: Call, connection: Connection, reply: unknown): void {
    if (!call.pending) return
    this.#silence.answered()
    const error = call.blame?.(reply)
    if (error !== undefined) {
      // No good answer; it stands where no better one is to be had.
      if (call.on === connection && !this.#isLeft(call, error)) this.#settle(call, reply)
      return
    }
    // Also the answer of a connection that was given up since.
    this.#answered = true
    if (this.#doubted) {
      this.#doubted = false
      this.#silence.broken()
      this.#trouble = undefined
      this.#events.onAnswer()
    }
    this.#settle(call, reply)
  }

  #onError(call: Call, connection: Connection, why: unknown): void {
    const error = withoutCommand(why)
    if (call.on !== connection || !call.pending) return
    const code = replyCode(error)
    call.error = error
    if (code === undefined) return this.#again(call, connection.cluster)
    this.#silence.answered()
    if (isSoon(code)) return this.#again(call, true)
    if (isWrongServer(code)) {
      if (!this.#isLeft(call, error)) this.#fail(call, error)
      return
    }
    if (isRedirection(code) && !call.moved && !connection.cluster && this.#source.followCluster()) {
      this.bySlot = true
      call.moved = true
      return this.#drop(error)
    }
    if (code === 'CROSSSLOT' || isRedirection(code)) this.bySlot = true
    this.#fail(call, error)
  }

  /** The server is not the one to ask. @returns whether the call is sent again, to whichever there is next */
  #isLeft(call: Call, error: unknown): boolean {
    const again = !call.moved
    call.moved = true
    return this.suspect(error) && again
  }

  /** Sends a call once more, soon, on whichever connection there is then. */
  #again(call: Call, soon: boolean): void {
    call.on = null
    call.soon = soon
    if (call.via !== null) return this.#fail(call, call.error)
    this.#retry ??= systemClock.setTimer(RETRY_MS, () => {
      this.#retry = null
      const connection = this.#connection
      if (connection === null) return
      for (const waiting of this.#pending.all()) if (waiting.on === null) this.#dispatch(waiting, connection)
    })
  }

  #lookAtThem(): void {
    this.#look = null
    // While the library is loaded, which may take long on a busy machine, no call can be sent.
    if (!this.#loading) this.#looks += 1
    if (this.#pending.alone) {
      this.#silence.startAgain()
      return
    }
    this.#look = systemClock.setTimer(LOOK_MS, () => this.#lookAtThem(), { background: true })
    for (const call of this.#pending.all()) {
      const age = this.#looks - call.since
      if (age < OUTAGE_LOOKS) break
      const unsent = call.on === null && age >= (call.soon ? SOON_LOOKS : OUTAGE_LOOKS)
      if (unsent || age >= LONGEST_LOOKS) this.#giveUp(call)
    }
    const silentMs = this.#silence.look(this.#connection !== null)
    if (silentMs !== null) this.#onSilence(silentMs)
  }

  #onSilence(ms: number): void {
    const why = new Error(`nothing was answered for ${ms / 1_000} seconds`, { cause: this.#trouble })
    const { own } = this.#source
    for (const call of this.#pending.all()) {
      if (!own) call.error ??= why
      else if (call.moved) this.#fail(call, why)
      else call.moved = true
    }
    this.suspect(why)
  }

  #giveUp(call: Call): void {
    const error = this.#trouble ?? call.error ?? new Error('there was no answer')
    // Of a connection of ours it was told when it was lost.
    if (!this.#source.own && replyCode(error) === undefined) this.#tell(error, false)
    this.#fail(call, error)
  }

  #tell(why: unknown, replaced: boolean): void {
    this.#doubted = true
    this.#events.onSuspicion(why, replaced)
  }

  #settle(call: Call, reply: unknown): void {
    if (call.end()) call.resolve(reply)
  }

  #fail(call: Call, error: unknown): void {
    if (call.end()) call.reject(error)
  }

  #rejectAll(error: unknown): void {
    for (const call of this.#pending.all()) this.#fail(call, error)
  }
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this backend was closed')
}
