import type { SoloistError } from '../../../errors.js'

// What this backend needs of a client library. `ioredis.ts` and `node-redis.ts` say how each of them does it.

/** Sends one command to one server and answers with its reply. */
export type Send = (args: readonly string[]) => Promise<unknown>

/** What speaks against the server in a reply that is no error as a whole; `undefined`: nothing. */
export type Blame = (reply: unknown) => Error | undefined

/**
 * One connection for commands, or, on a cluster, all that belong together. An error may bring its command along, which is nobody's
 * business: who sends takes it away.
 */
export interface Connection {
  /** Whether the library sends each command to the server that has its key. */
  readonly cluster: boolean
  /** Sends a command to the server that has `key`. */
  send(key: string, args: readonly string[]): Promise<unknown>
  /** The same for a command that is encoded already; `null` where the library takes only arguments. */
  readonly sendBytes: ((key: string, bytes: string) => Promise<unknown>) | null
  /** One for every primary of a cluster; else for the one server. */
  primaries(): Promise<readonly Send[]>
  /** Lets go of it at once, whatever it waits for. Does nothing to a client that the application gave. */
  drop(): void
}

/** What a connection tells. */
export interface ConnectionEvents {
  /** Something failed which may be over soon. It says why what comes next fails. */
  onTrouble(error: unknown): void
  /** The server refuses what the connection cannot do without. What waits must fail with this, unsent. */
  onRefused(error: unknown): void
  /** The connection is over, unless it was dropped here. */
  onEnd(): void
}

/** A connection that does nothing but listen to channels. */
export interface Subscriber {
  /** Resolves when the server has confirmed all of them. May be asked again for channels it has already. */
  subscribe(channels: readonly string[]): Promise<void>
  /** Resolves when the server has answered just now. */
  probe(channel: string): Promise<void>
  drop(): void
}

export interface SubscriberEvents {
  onMessage(message: string): void
  /** The library is connected again by itself, with all subscriptions. */
  onBack(): void
  /** The connection is over, unless it was dropped here. */
  onEnd(error: unknown): void
}

/** Where connections come from: an address, or a client of the application's. */
export interface Source {
  /** Whether the connection for commands is ours, so that it may be replaced. */
  readonly own: boolean
  /** What the application's client puts before every key. */
  readonly keyPrefix: string
  /**
   * Loads what the others need, once.
   *
   * @throws SoloistError `BACKEND_UNAVAILABLE` when the library is not installed
   */
  load(): Promise<void>
  /** Opens a connection for commands. It does not come back by itself when it is over. */
  connect(events: ConnectionEvents): Connection
  /** Opens a connection for pushes. */
  subscriber(events: SubscriberEvents): Subscriber
  /** From now on {@link Source.connect} follows a cluster's redirections. `false` where it cannot. */
  followCluster(): boolean
}

/** What a {@link Link} tells whoever uses it. */
export interface LinkEvents {
  /** A message on one of the channels. */
  onMessage(message: string): void
  /** Messages may have been missed. */
  onGap(): void
  /** Something was wrong and no call can be told of it: it was mended, or an operator has to know. */
  onFault(error: SoloistError): void
}
