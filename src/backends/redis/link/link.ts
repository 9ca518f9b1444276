import { SoloistError } from '../../../errors.js'
import { Calls } from './calls.js'
import type { Blame, LinkEvents, Send, Source } from './library.js'
import { Pushes } from './pushes.js'
import { isWrongServer, replyCode } from './replies.js'
import { ServerLook } from './server.js'

/** What of a link is not to be trusted. */
export type Suspect = 'commands' | 'pushes'

/**
 * The one owner of both connections to Redis: that for commands and that for pushes. What shows that one of them is not
 * to be trusted leads to {@link Link.suspect}. A connection that is ours is then replaced, one that the application gave
 * is not touched, and {@link LinkEvents.onFault} tells why, once until it is well again.
 */
export class Link {
  /** What the application's client puts before every key. */
  readonly keyPrefix: string
  readonly #calls: Calls
  readonly #pushes: Pushes
  #events: LinkEvents = { onMessage: () => {}, onGap: () => {}, onFault: () => {} }
  readonly #told = new Set<Suspect>()
  readonly #server = new ServerLook()
  /** It does not tell this user about itself. */
  #silentServer = false
  #closed = false

  constructor(source: Source) {
    this.keyPrefix = source.keyPrefix
    this.#calls = new Calls(source, {
      onAnswer: () => {
        this.#told.delete('commands')
        this.#look()
      },
      onSuspicion: (why, replaced) => {
        this.#tell('commands', why, replaced)
        // The connection for pushes leads to the same server.
        if (isWrongServer(replyCode(why))) this.#pushes.suspect(why, true)
        else this.#pushes.probe()
      },
    })
    this.#pushes = new Pushes(source, {
      onMessage: message => this.#events.onMessage(message),
      onGap: () => this.#events.onGap(),
      onReplaced: why => this.#tell('pushes', why, true),
      onConfirmed: () => this.#told.delete('pushes'),
    })
  }

  /** Sets who is told. Nobody is before. */
  listen(events: LinkEvents): void {
    this.#events = events
  }

  /**
   * Whether all keys of a call must be in one slot. It may become true when a call fails with CROSSSLOT or MOVED: what
   * that call asked for is then to be asked by slot.
   */
  get cluster(): boolean {
    return this.#calls.cluster
  }

  /**
   * Sends a command, which must be safe to repeat, to the server that has `key`. It leaves at once where there is a
   * connection. A short outage is ridden out; the error is what the server answered or what the library reported.
   *
   * @param blame finds what speaks against the server in a reply. Such a server is left for another, where there may be
   *   one, and the command is sent there; else the reply is the answer
   */
  send(key: string, args: readonly string[], blame: Blame | null = null): Promise<unknown> {
    return this.#calls.send(key, args, blame)
  }

  /**
   * The same for a command that is encoded already.
   *
   * @param bytes the whole command as RESP arrays of bulk strings, in ASCII
   */
  sendBytes(key: string, bytes: string, blame: Blame | null = null): Promise<unknown> {
    return this.#calls.send(key, bytes, blame)
  }

  /** One for every primary of a cluster; else for the one server. */
  primaries(): Promise<readonly Send[]> {
    return this.#calls.primaries()
  }

  /**
   * Whether the channel was confirmed. Its connection may be away just now: that is being mended, and
   * {@link LinkEvents.onGap} tells when it is done. To be asked for every claim that is queued, since it also looks, now
   * and then, whether the connection lives.
   */
  hears(channel: string): boolean {
    return this.#pushes.hears(channel)
  }

  /** Whether the connection that there is now has confirmed the channel: else a push to it may be missed just now. */
  hearsNow(channel: string): boolean {
    return this.#pushes.hearsNow(channel)
  }

  /** Resolves when the server has confirmed the channel; rejects after some seconds. */
  hear(channel: string): Promise<void> {
    return this.#pushes.hear(channel)
  }

  /** Something shows that a connection is not to be trusted: an answer, or none. */
  suspect(what: Suspect, why: unknown): void {
    if (what === 'commands') this.#calls.suspect(why)
    else this.#pushes.suspect(why)
  }

  /** Closes what was opened here, never a client that was passed in. Everything under way fails. Safe to call twice. */
  close(): void {
    this.#closed = true
    this.#calls.close()
    this.#pushes.close()
  }

  #tell(what: Suspect, why: unknown, replaced: boolean): void {
    if (this.#closed || this.#told.has(what)) return
    this.#told.add(what)
    const which = what === 'commands' ? "Redis' connection for commands" : "Redis' connection for pushes"
    const done = replaced ? 'is replaced' : 'cannot be relied on; it is the application’s own and was left as it is'
    const because = why instanceof Error ? `: ${why.message}` : ''
    this.#events.onFault(new SoloistError('BACKEND_UNAVAILABLE', `${which} ${done}${because}`, { cause: why }))
  }

  /**
   * Whether the server is set up to bear locks, and still has them: asked on each new connection. Nobody waits for it, and a
   * user who may not ask is not told.
   */
  #look(): void {
    if (this.#silentServer) return
    this.#ask().catch((error: unknown) => {
      this.#silentServer = replyCode(error) !== undefined
    })
  }

  async #ask(): Promise<void> {
    const [first] = await this.primaries()
    const info = String(await first?.(['info']))
    if (this.#closed) return
    // Of a cluster it is the answer of any one of its servers.
    for (const error of this.#server.look(info, !this.cluster)) this.#events.onFault(error)
  }
}
