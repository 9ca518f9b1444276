import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RespFrame, RespReader, type RespValue } from './resp.js'

const HOST = '127.0.0.1'
/** Requests that are answered by pushes, one for each channel, and by no reply. */
const SUBSCRIBES = /^[ps]?(un)?subscribe$/i
/** What the pushes of RESP2 start with; RESP3 marks them itself. */
const PUSHES = /^([ps]?message|[ps]?(un)?subscribe)$/

/** A request or a push as strings: a command and its arguments, or `message`, channel and payload. */
export type Match = (words: readonly string[]) => boolean

/** What a connection is used for: one that has subscribed is for pushes. */
export type ConnectionKind = 'commands' | 'pushes'

/** A fault that happens once, to the first frame that matches. */
export interface Rule {
  /** Resolves when it has happened. */
  readonly hit: Promise<void>
}

/**
 * A TCP proxy in front of one Redis server that knows requests, replies and pushes, so that a fault strikes an exact
 * frame instead of a moment. Replies belong to requests in their order, per connection; `MONITOR` and `CLIENT REPLY`
 * would break that and are not supported.
 */
export interface RedisProxy {
  readonly port: number
  readonly url: string
  /** How many clients are connected. */
  readonly connections: number
  /** How many replies and pushes are being delayed: they came from the server and have not left for their client. */
  readonly delayed: number
  /** How many replies and pushes have been delayed so far. */
  readonly slowed: number
  /** How many frames a blackhole has held back so far. */
  readonly held: number
  /**
   * Forwards the first request that matches but not its reply. Then it resets the connection, or stalls it: requests
   * still arrive at the server, and nothing ever comes back.
   */
  dropReplyTo(match: Match, andThen: 'reset' | 'stall'): Rule
  /** Swallows the first pushed message that matches; the connection lives on. */
  dropPush(match: Match): Rule
  /** Delivers every later reply and push this much later, in their order. */
  delayReplies(ms: number): void
  /** Forwards nothing in either direction, for old and new connections, and closes none: the network is gone. */
  blackhole(): void
  /** Ends `blackhole`: what was held back is forwarded, as TCP would retransmit it. */
  heal(): void
  /**
   * Makes the present connections of this kind silent: nothing passes in either direction and none is closed, as when a
   * firewall forgot them. New connections work.
   */
  silence(kind: ConnectionKind): void
  /** The next connection is accepted, and silent from its first byte. */
  silenceNext(): Rule
  /** The server sees the end of the present connections for pushes; their clients see nothing. */
  cutPushesBehind(): Promise<void>
  /** New connections lead to this port of the same host, as when a name moves. */
  retarget(port: number): void
  /** Resets every connection. */
  resetAll(): void
  close(): Promise<void>
}

/** Starts a proxy on a free port. */
export async function startProxy(targetPort: number): Promise<RedisProxy> {
  const network = new Network()
  let target = targetPort
  const server = createServer({ allowHalfOpen: true }, client => {
    network.add(new Link(network, client, connect({ port: target, host: HOST, allowHalfOpen: true })))
  })
  server.listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `redis://${HOST}:${port}`,
    get connections() {
      return network.links.size
    },
    get delayed() {
      return network.delayed
    },
    get slowed() {
      return network.slowed
    },
    get held() {
      return network.held
    },
    dropReplyTo(match, andThen) {
      return network.addRule(network.replyRules, match, andThen)
    },
    dropPush(match) {
      return network.addRule(network.pushRules, match, 'continue')
    },
    delayReplies(ms) {
      network.delayMs = ms
    },
    blackhole() {
      network.blackhole()
    },
    heal() {
      network.heal()
    },
    silence(kind) {
      for (const link of network.links) if (link.kind === kind) link.silence()
    },
    silenceNext() {
      const { promise: hit, resolve: struck } = deferred()
      network.silenceNext.push(struck)
      return { hit }
    },
    async cutPushesBehind() {
      const links = [...network.links].filter(link => link.kind === 'pushes')
      await Promise.all(links.map(link => link.cutBehind()))
    },
    retarget(port) {
      target = port
    },
    resetAll() {
      network.resetAll()
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      network.resetAll()
      network.heal()
      await closed
    },
  }
}

interface ArmedRule {
  readonly match: Match
  readonly andThen: 'reset' | 'stall' | 'continue'
  readonly struck: () => void
}

/** What all connections of a proxy share. */
class Network {
  readonly links = new Set<Link>()
  readonly replyRules = new Set<ArmedRule>()
  readonly pushRules = new Set<ArmedRule>()
  /** Told of each connection that is silent from the start, and how many are to be. */
  readonly silenceNext: (() => void)[] = []
  delayMs = 0
  delayed = 0
  slowed = 0
  held = 0
  /** Pending while nothing may pass. */
  blocked: { readonly ended: Promise<void>; readonly end: () => void } | null = null

  add(link: Link): void {
    this.links.add(link)
    const struck = this.silenceNext.shift()
    if (struck !== undefined) {
      link.silence()
      struck()
    }
    void link.closed.then(() => this.links.delete(link))
  }

  addRule(rules: Set<ArmedRule>, match: Match, andThen: ArmedRule['andThen']): Rule {
    const { promise: hit, resolve: struck } = deferred()
    rules.add({ match, andThen, struck })
    return { hit }
  }

  /** The first rule for these words; it applies this once. */
  take(rules: Set<ArmedRule>, words: readonly string[]): ArmedRule | null {
    for (const rule of rules) {
      if (!rule.match(words)) continue
      rules.delete(rule)
      return rule
    }
    return null
  }

  blackhole(): void {
    const { promise: ended, resolve: end } = deferred()
    this.blocked ??= { ended, end }
  }

  heal(): void {
    this.blocked?.end()
    this.blocked = null
  }

  resetAll(): void {
    for (const link of this.links) link.reset()
  }
}

/** One client's connection and the one to the server that belongs to it. */
class Link {
  readonly closed: Promise<void>
  readonly #network: Network
  readonly #client: Socket
  readonly #server: Socket
  /** The requests without a reply so far, each with the rule that strikes its reply. */
  readonly #pending: (ArmedRule | null)[] = []
  #subscribed = false
  #stalled = false
  #silent = false
  /** The end of each direction's queue: frames leave in the order they came. */
  #lastRequest: Promise<void> = Promise.resolve()
  #lastReply: Promise<void> = Promise.resolve()

  constructor(network: Network, client: Socket, server: Socket) {
    this.#network = network
    this.#client = client
    this.#server = server
    const requests = new RespReader()
    const replies = new RespReader()
    client.setNoDelay()
    server.setNoDelay()
    client.on('data', chunk => {
      if (this.#silent) return
      for (const frame of requests.push(chunk)) this.#lastRequest = this.#forwardRequest(this.#lastRequest, frame)
    })
    server.on('data', chunk => {
      if (this.#silent) return
      for (const frame of replies.push(chunk)) this.#lastReply = this.#forwardReply(this.#lastReply, frame)
    })
    client.on('end', () => void this.#lastRequest.then(() => this.#passage()).then(() => server.end()))
    server.on('end', () => {
      if (!this.#silent) void this.#lastReply.then(() => this.#passage()).then(() => client.end())
    })
    this.closed = new Promise(resolve => client.once('close', () => resolve()))
    // After an error of the client comes its 'close'. Neither side learns of the other's end while nothing may pass.
    client.on('error', () => {})
    server.on('error', () => {
      if (!this.#silent) void this.#passage().then(() => client.resetAndDestroy())
    })
    void this.closed.then(() => this.#passage()).then(() => server.destroy())
  }

  get kind(): ConnectionKind {
    return this.#subscribed ? 'pushes' : 'commands'
  }

  silence(): void {
    this.#silent = true
  }

  async cutBehind(): Promise<void> {
    this.#silent = true
    this.#server.destroy()
    if (!this.#server.closed) await once(this.#server, 'close')
  }

  reset(): void {
    this.#client.resetAndDestroy()
  }

  async #forwardRequest(before: Promise<void>, { value, bytes }: RespFrame): Promise<void> {
    await before
    await this.#passage()
    const request = words(value)
    if (SUBSCRIBES.test(request[0] ?? '')) this.#subscribed = true
    else this.#pending.push(this.#network.take(this.#network.replyRules, request))
    if (this.#server.writable) this.#server.write(bytes)
  }

  async #forwardReply(before: Promise<void>, frame: RespFrame): Promise<void> {
    await Promise.all([before, this.#delay()])
    await this.#passage()
    const push = this.#isPush(frame)
    const rule = push ? this.#network.take(this.#network.pushRules, words(frame.value)) : this.#pending.shift()
    if (rule) this.#strike(rule)
    else if (!this.#stalled && this.#client.writable) this.#client.write(frame.bytes)
  }

  async #delay(): Promise<void> {
    const { delayMs } = this.#network
    if (delayMs === 0) return
    this.#network.delayed++
    this.#network.slowed++
    await sleep(delayMs, undefined, { ref: false })
    this.#network.delayed--
  }

  #strike(rule: ArmedRule): void {
    if (rule.andThen === 'reset') this.reset()
    else if (rule.andThen === 'stall') this.#stalled = true
    rule.struck()
  }

  #isPush({ type, value }: RespFrame): boolean {
    return type === '>' || (this.#subscribed && type === '*' && PUSHES.test(words(value)[0] ?? ''))
  }

  async #passage(): Promise<void> {
    if (this.#network.blocked !== null) this.#network.held++
    while (this.#network.blocked !== null) await this.#network.blocked.ended
  }
}

function words(value: RespValue): string[] {
  return Array.isArray(value) ? value.map(String) : [String(value)]
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>(done => {
    resolve = done
  })
  return { promise, resolve }
}
