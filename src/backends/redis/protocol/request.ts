import type { AcquireStep, ClaimId, Step, TriggerAction, TriggerStep } from '../../../backend.js'
import { claimOf } from '../../../internal/step-names.js'
import type { KeySpace } from '../keys.js'
import { before } from './words.js'

/** What a list of steps is sent with. */
export interface Sender {
  readonly client: string
  /** What the channel of every client starts with. */
  readonly channels: string
  /** Whether this client's channel was subscribed before. */
  readonly heard: boolean
  /** Whether this client is told of its grants: else a push to it may be missed. */
  readonly hears: boolean
  readonly cluster: boolean
  /** For how long after the server's start a lease of before may count, in milliseconds; `null`: nothing waits for that. */
  readonly guardMs: number | null
}

/** The keys and arguments of a script. They become the text that is sent at once, for most of a request is its text. */
export class Request {
  /** By which a cluster finds the server. */
  firstKey = ''
  #keys = ''
  #keyCount = 0
  #args = ''
  #argCount = 0

  key(key: string): this {
    if (this.#keyCount === 0) this.firstKey = key
    this.#keys += before(key.length) + key
    this.#keyCount += 1
    return this
  }

  /** The three keys of a lock. */
  lock(name: string, keys: KeySpace): this {
    const around = keys.around(name)
    if (around === null) {
      const { lock, queue, details } = keys.keys(name)
      return this.key(lock).key(queue).key(details)
    }
    if (this.#keyCount === 0) this.firstKey = keys.own(name)
    const { lock, queue, details, end } = around
    this.#keys += lock + name + queue + name + details + name + end
    this.#keyCount += 3
    return this
  }

  arg(arg: string): this {
    this.#args += before(arg.length) + arg
    this.#argCount += 1
    return this
  }

  /** The whole command as words. @param script its digest for `evalsha`, its text for `eval` */
  command(name: 'evalsha' | 'eval', script: string): string {
    const keyCount = String(this.#keyCount)
    const head = `*${this.#keyCount + this.#argCount + 3}${before(name.length)}${name}${before(script.length)}${script}`
    return `${head}${before(keyCount.length)}${keyCount}${this.#keys}${this.#args}\r\n`
  }
}

/** The keys and arguments of `steps.lua`. */
export function stepsRequest(steps: readonly Step[], keys: KeySpace, mark: string, sender: Sender): Request {
  const request = new Request().key(mark)
  let results = 0
  for (const step of steps) {
    request.lock(claimOf(step).name, keys)
    if (leaves(step)) results += 1
  }
  if (results > 0) addLeftKeys(request, steps, keys)
  // Only a renewal grants nothing.
  const guarded = sender.guardMs !== null && steps.some(({ kind }) => kind !== 'renew')
  const guard = guarded ? `g${sender.guardMs}` : '-'
  const { client, channels } = sender
  request.arg(`${guard} ${flag(sender.hears)} ${flag(sender.cluster)} ${results} ${client} ${channels}`)
  for (const step of steps) {
    if (step.kind === 'acquire') addAcquire(request, step)
    else if (step.kind === 'renew') request.arg(step.owner).arg(`=${step.ttlMs ?? 0},${step.fence ?? ''}`)
    else if (step.kind === 'trigger') addTrigger(request, step)
    else if (step.kind === 'begin') request.arg(step.owner).arg(`*${step.takesBack ?? ''}`)
    else if (step.result === null) request.arg(step.owner).arg('')
    else request.arg(step.owner).arg(`!${step.result.keepMs}`).arg(step.result.text)
  }
  return request
}

/** The keys and arguments of `watch.lua`. */
export function watchRequest({ name, owner }: ClaimId, keys: KeySpace, client: string): Request {
  const request = new Request().lock(name, keys).key(keys.result(name, owner))
  return request.arg(owner).arg(client)
}

/** The keys and arguments of `inspect.lua`. */
export function inspectRequest(names: readonly string[], keys: KeySpace, shown: number, shownAtOnce: number): Request {
  const request = new Request()
  for (const name of names) request.lock(name, keys)
  return request.arg(String(shown)).arg(String(shownAtOnce))
}

function addAcquire(request: Request, { claim, ticket, replaces }: AcquireStep): void {
  const { mode, limit, meta, noted = false, durable = false } = claim
  const ttl = claim.ttlMs ?? 0
  request.arg(claim.owner)
  if (mode === 'exclusive' && meta === null && !noted && !durable && replaces === null && typeof ticket !== 'number') {
    request.arg(ticket === null ? `t${ttl}` : String(ttl))
    return
  }
  const letter = mode === 'exclusive' ? 'x' : 's'
  const more = `${noted ? 'n' : ''}${durable ? 'd' : ''}${meta === null ? '' : 'm'}${replaces === null ? '' : 'r'}`
  request.arg(`${letter}${limit ?? ''},${ttl},${ticket ?? ''},${more}`)
  if (meta !== null) request.arg(meta)
  if (replaces !== null) request.arg(replaces)
}

const ACTIONS: Readonly<Record<TriggerAction, string>> = { meet: 'm', wait: 'w', follow: 'f', displace: 'd' }

function addTrigger(request: Request, step: TriggerStep): void {
  const { owner, mode, limit, meta, noted = false, durable = false, ttlMs } = step.claim
  const { debounce, note, without } = step
  const claim = `${mode === 'exclusive' ? 'x' : 's'}${limit ?? ''},${ttlMs ?? 0}`
  const flags = `${noted ? 'n' : ''}${durable ? 'd' : ''}${step.begins ? 'b' : ''}`
  const actions = ACTIONS[step.running] + ACTIONS[step.pending]
  const waits = debounce === null ? ',' : `${debounce.waitMs},${debounce.maxWaitMs}`
  const texts = `${meta === null ? '' : 'm'}${note === null ? '' : 't'}${without === null ? '' : 'w'}`
  request.arg(owner).arg(`>${claim},${flags},${actions},${step.keepMs},${waits},${texts}`)
  if (meta !== null) request.arg(meta)
  if (note !== null) request.arg(note)
  if (without !== null) request.arg(without)
}

/** Whether the step reads or writes what its owner leaves. */
function leaves(step: Step): boolean {
  return step.kind === 'trigger' || step.kind === 'begin' || (step.kind === 'release' && step.result !== null)
}

function addLeftKeys(request: Request, steps: readonly Step[], keys: KeySpace): void {
  for (const step of steps) {
    if (!leaves(step)) continue
    const { name, owner } = claimOf(step)
    request.key(keys.result(name, owner))
  }
}

function flag(value: boolean): string {
  return value ? '1' : '0'
}
