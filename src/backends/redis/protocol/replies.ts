import type {
  Answer,
  Answers,
  Busy,
  ClaimMode,
  HandedGrant,
  Holder,
  LockState,
  Note,
  Seen,
  SeenRun,
  Step,
  Waiter,
  WatchReply,
} from '../../../backend.js'
import { claimOf } from '../../../internal/step-names.js'
import { isWrongServer, replyCode } from '../link/replies.js'

// What the scripts answer, as their headers describe it, in the port's terms. Clients may be set to give buffers for
// strings and strings for integers; everything is read through its text.

type Reply = readonly unknown[]

/** What a call of `steps.lua` came to. */
export interface StepsReply extends Answers {
  readonly handed: HandedGrant[]
  /** Releases that left more to grant than one call may: they are to be sent once more. */
  readonly unfinished: readonly Step[]
  /**
   * For how long the server grants nothing since it was started, in milliseconds; `'unknown'`: it does not tell this user
   * when that was; `null`: it grants, or was not asked to wait.
   */
  readonly guard: number | 'unknown' | null
}

const HELD: Answer = { status: 'held', fence: null }
const LOST: Answer = { status: 'lost' }
const AGAIN: Answer = { status: 'again' }
const RELEASED: Answer = { status: 'released', held: true }
const NOT_HELD: Answer = { status: 'released', held: false }
const NOBODY: Seen = { running: null, pending: null, waiting: null }

/** An error of one step. Its first word is its code, as in every error reply of the protocol. */
export class StepError extends Error {
  override name = 'ReplyError'
}

export function stepsReply(steps: readonly Step[], reply: unknown): StepsReply {
  if (!Array.isArray(reply)) {
    const [step] = steps
    const answer = step?.kind === 'release' ? RELEASED : granted(step, Number(reply))
    return { steps: [answer], handed: [], unfinished: [], guard: null }
  }
  const letters = String(reply[1])
  const answers: Answer[] = []
  const unfinished: Step[] = []
  let fence = Number(reply[0])
  let next = 2
  for (let i = 0; i < steps.length; i += 1) {
    const step = steps[i] as Step
    switch (letters[i]) {
      case 'g':
        answers.push(granted(step, fence))
        fence += 1
        break
      case 'G':
        answers.push({ status: 'granted', fence: Number(reply[next++]) })
        break
      case 'b':
        answers.push(busy(reply[next++] as Reply))
        break
      case 't':
        answers.push(triggerGranted(reply[next++] as Reply))
        break
      case 'q':
        answers.push(triggerQueued(reply[next++] as Reply))
        break
      case 'm':
        answers.push(met(reply[next++] as Reply))
        break
      case 'd':
        answers.push(displaced(step, String((reply[next++] as Reply)[0])))
        break
      case 'B':
        answers.push({ status: 'begun', notes: notes(reply[next++] as Reply) })
        break
      case 'h':
        answers.push(HELD)
        break
      case 'k':
        answers.push({ status: 'held', fence: step.kind === 'renew' ? step.fence : null })
        break
      case 'F':
        answers.push({ status: 'held', fence: Number(reply[next++]) })
        break
      case 'l':
        answers.push(LOST)
        break
      case 'a':
        answers.push(AGAIN)
        break
      case 'e':
        answers.push({ status: 'fault', error: new StepError(String(reply[next++])) })
        break
      default:
        // 1 and 3: it was held; 2 and 3: there is more to do.
        answers.push(letters[i] === '1' || letters[i] === '3' ? RELEASED : NOT_HELD)
        if (letters[i] === '2' || letters[i] === '3') unfinished.push(step)
    }
  }
  const more = letters.slice(steps.length)
  const grants = more.startsWith('+') ? handed(steps, reply[next++] as Reply) : []
  const guard = more.endsWith('!') ? Number(reply[next]) : more.endsWith('?') ? 'unknown' : null
  return { steps: answers, handed: grants, unfinished, guard }
}

/** @param by `''`: nobody; the claim lost its place */
function displaced(step: Step, by: string): Answer {
  return by === '' && step.kind === 'begin' && step.takesBack == null ? LOST : { status: 'displaced', by }
}

/**
 * By which a step tells that its server is not the one to ask; `undefined`: by none. Such a server refuses every write of a
 * call, so that the whole call may be sent to another.
 */
export function wrongServerIn(reply: unknown): StepError | undefined {
  if (!Array.isArray(reply) || !String(reply[1]).includes('e')) return undefined
  for (let i = 2; i < reply.length; i += 1) {
    if (Array.isArray(reply[i])) continue
    const error = new StepError(String(reply[i]))
    if (isWrongServer(replyCode(error))) return error
  }
  return undefined
}

export function watchReply(reply: unknown): WatchReply {
  const [status, text] = (reply as Reply).map(String)
  if (status === 'result') return { status, text: text as string }
  if (status === 'displaced') return { status, by: text as string }
  return { status: status === 'live' ? 'live' : 'gone' }
}

/** The states of the first of these locks, as many as the reply tells of. */
export function lockStates(names: readonly string[], reply: unknown): readonly (LockState | null)[] {
  return (reply as Reply).map((state, i) => lockState(names[i] as string, state as Reply))
}

export function scanReply(reply: unknown): { cursor: string; keys: readonly string[] } {
  const [cursor, keys] = reply as [unknown, Reply]
  return { cursor: String(cursor), keys: keys.map(String) }
}

/** With nothing in its way. */
function granted(step: Step | undefined, fence: number): Answer {
  return step?.kind === 'trigger'
    ? { status: 'granted', fence, seen: NOBODY, pending: step.begins }
    : { status: 'granted', fence }
}

function triggerGranted([fence, ...rest]: Reply): Answer {
  return { status: 'granted', fence: Number(fence), seen: seen(rest), pending: rest[6] === '1' }
}

function triggerQueued(reply: Reply): Answer {
  return { ...busy(reply), seen: seen(reply.slice(4)) }
}

function met([noted, ...rest]: Reply): Answer {
  return { status: 'met', noted: String(noted) || null, seen: seen(rest) }
}

function seen(reply: Reply): Seen {
  const [running, pending, waiting] = [0, 2, 4].map(i => seenRun(String(reply[i]), reply[i + 1]))
  return { running: running ?? null, pending: pending ?? null, waiting: waiting ?? null }
}

function seenRun(owner: string, ageMs: unknown): SeenRun | null {
  return owner === '' ? null : { owner, ageMs: numberOrNull(ageMs) }
}

function notes(reply: Reply): readonly Note[] {
  const notes: Note[] = []
  for (let i = 0; i < reply.length; i += 2) notes.push({ owner: String(reply[i]), text: String(reply[i + 1]) })
  return notes
}

function busy(reply: Reply): Busy {
  const [holder, retryAfterMs, ticket, requeued] = reply
  return {
    status: 'busy',
    holder: String(holder) || null,
    retryAfterMs: numberOrNull(retryAfterMs),
    ticket: numberOrNull(ticket),
    requeued: String(requeued) === '1',
  }
}

function handed(steps: readonly Step[], reply: Reply): HandedGrant[] {
  const grants: HandedGrant[] = []
  for (let i = 0; i < reply.length; i += 3) {
    const step = steps[Number(reply[i]) - 1] as Step
    const { name } = claimOf(step)
    grants.push({ name, owner: String(reply[i + 1]), fence: Number(reply[i + 2]) })
  }
  return grants
}

function lockState(name: string, reply: Reply): LockState | null {
  if (reply.length === 0) return null
  const [atMs, holding, waiting, pending, pendingNotes, notBeforeMs] = reply
  const holders: Holder[] = []
  const waiters: Waiter[] = []
  for (let i = 6; i < reply.length; i += 4) {
    const [kind, owner, at, note] = reply.slice(i, i + 4).map(String) as [string, string, string, string]
    const { mode, limit, fence, meta, durable } = noted(note)
    if (kind === 'w') {
      waiters.push({ owner, mode, limit, waitingSinceMs: Math.floor(Number(at) / 1000), meta, durable })
    } else {
      const acquiredAtMs = fence === 0 ? null : Math.floor(fence / 1000)
      const held: ClaimMode = kind === 'x' ? 'exclusive' : 'shared'
      holders.push({ owner, mode: held, limit, fence, acquiredAtMs, expiresAtMs: numberOrNull(at), meta })
    }
  }
  holders.sort((a, b) => a.fence - b.fence)
  return {
    name,
    holding: Number(holding),
    holders,
    pending:
      String(pending) === ''
        ? null
        : { owner: String(pending), notes: Number(pendingNotes), notBeforeMs: numberOrNull(notBeforeMs) },
    waiting: Number(waiting),
    waiters,
    atMs: Number(atMs),
  }
}

/** `<x or s><limit or nothing><n or nothing><d or nothing>,<ttl>,<client> <fence or nothing>` and, with a meta, `,<meta>`; or nothing at all. */
function noted(note: string): Pick<Waiter, 'mode' | 'limit' | 'meta' | 'durable'> & { readonly fence: number } {
  const [, letter, limit, durable, fence, , meta] = /^([xs])(\d*)n?(d?),\d+,\S* (\d*)(,(.*))?$/s.exec(note) ?? []
  return {
    mode: letter === 's' ? 'shared' : 'exclusive',
    limit: numberOrNull(limit),
    fence: Number(fence ?? 0),
    meta: meta ?? null,
    durable: durable === 'd',
  }
}

function numberOrNull(value: unknown): number | null {
  const text = String(value ?? '')
  return text === '' ? null : Number(text)
}
