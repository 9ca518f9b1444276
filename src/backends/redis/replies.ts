import type {
  AcquireReply,
  ClaimMode,
  Ended,
  HandedGrant,
  Holder,
  LockState,
  PushedGrant,
  RenewReply,
  Waiter,
  WatchReply,
} from '../../backend.js'

// What the scripts answer, as their headers describe it, in the port's terms. Clients may be set to give buffers for
// strings and strings for integers; everything is read through its text.

type Reply = readonly unknown[]

/** As in `_lock.lua`: how long a grant stands unconfirmed. */
const GRANT_MS = 5_000

export function acquireReplies(reply: unknown): readonly AcquireReply[] {
  return (reply as Reply).map(acquireReply)
}

function acquireReply(reply: unknown): AcquireReply {
  if (!Array.isArray(reply)) return { status: 'granted', fence: Number(reply) }
  const [status, ...rest] = texts(reply)
  if (status === 'limit') return { status, limit: numberOrNull(rest[0]) }
  const [holder, retryAfterMs, ticket, requeued] = rest
  return {
    status: 'busy',
    holder: holder || null,
    retryAfterMs: numberOrNull(retryAfterMs),
    ticket: numberOrNull(ticket),
    requeued: requeued === '1',
  }
}

export function releaseReply(
  name: string,
  reply: unknown,
): { released: boolean; more: boolean; handed: readonly HandedGrant[] } {
  const [released, more, ...granted] = texts(reply)
  const handed: HandedGrant[] = []
  for (let i = 0; i < granted.length; i += 4) {
    const [owner, fence, mode, limit] = granted.slice(i, i + 4) as [string, string, string, string]
    handed.push({
      type: 'granted',
      name,
      owner,
      fence: Number(fence),
      mode: claimMode(mode),
      limit: numberOrNull(limit),
      leaseMs: GRANT_MS,
    })
  }
  return { released: released === '1', more: more === '1', handed }
}

export function watchReply(reply: unknown): WatchReply {
  const [status, text] = texts(reply)
  return status === 'result' ? { status, text: text as string } : { status: status === 'live' ? 'live' : 'gone' }
}

/**
 * A message on a client's channel: `advance` in `_lock.lua` writes a grant, `tell_watchers` that a claim is over. `null` for
 * one that is about no lock of this client's, and for anything else that somebody publishes there: a push is a hint, and
 * whoever misses one asks.
 */
export function pushed(message: string, nameOf: (key: string) => string | null): PushedGrant | Ended | null {
  const [key, owner, ...grant] = arrayOf(message)
  const name = typeof key === 'string' ? nameOf(key) : null
  if (name === null || typeof owner !== 'string') return null
  if (grant.length === 0) return { type: 'ended', name, owner }
  const [fenceText, mode, limit] = grant
  const fence = Number(fenceText)
  if (!Number.isSafeInteger(fence) || (mode !== 'x' && mode !== 's')) return null
  return { type: 'granted', name, owner, fence, mode: claimMode(mode), limit: typeof limit === 'number' ? limit : null }
}

/** The JSON array in a text; empty for any other text. */
function arrayOf(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : []
  } catch {
    // It is no JSON, so it is none of ours.
    return []
  }
}

export function renewReplies(reply: unknown): readonly RenewReply[] {
  return texts(reply).map(fence => (fence === '' ? { status: 'lost' } : { status: 'held', fence: Number(fence) }))
}

export function lockState(name: string, reply: unknown): LockState | null {
  const [atMs, limit, waiting, holders, waiters] = reply as [
    unknown,
    unknown,
    unknown,
    readonly Reply[],
    readonly Reply[],
  ]
  if (atMs === undefined) return null
  return {
    name,
    holders: holders.map(holder).sort((a, b) => a.fence - b.fence),
    waiting: Number(waiting),
    waiters: waiters.map(waiter),
    limit: numberOrNull(String(limit)),
    atMs: Number(atMs),
  }
}

export function scanReply(reply: unknown): { cursor: string; keys: readonly string[] } {
  const [cursor, keys] = reply as [unknown, Reply]
  return { cursor: String(cursor), keys: keys.map(String) }
}

function holder(reply: Reply): Holder {
  const [mode, owner, fence, expiresAtMs, details] = texts(reply) as [string, string, string, string, string]
  const space = details.indexOf(' ')
  return {
    owner,
    mode: claimMode(mode),
    fence: Number(fence),
    acquiredAtMs: fence === '0' ? null : Math.floor(Number(fence) / 1000),
    expiresAtMs: numberOrNull(expiresAtMs),
    meta: space < 0 ? null : details.slice(space + 1),
  }
}

function waiter(reply: Reply): Waiter {
  const [member, ticket, metas] = reply as [unknown, unknown, Reply]
  const text = String(member)
  const owner = text.indexOf(' ', text.indexOf(' ') + 1) + 1
  return {
    owner: text.slice(owner),
    mode: claimMode(text.slice(0, 1)),
    waitingSinceMs: Math.floor(Number(ticket) / 1000),
    meta: metas.length === 0 ? null : String(metas[0]),
  }
}

function claimMode(letter: string): ClaimMode {
  return letter === 'x' ? 'exclusive' : 'shared'
}

function texts(reply: unknown): readonly string[] {
  return (reply as Reply).map(String)
}

function numberOrNull(text: string | undefined): number | null {
  return text === undefined || text === '' ? null : Number(text)
}
