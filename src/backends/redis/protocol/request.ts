import type { AcquireStep, ClaimId, Step } from '../../../backend.js'
import type { KeySpace } from '../keys.js'
import { ALIVE_MS, GRANT_MS, IDLE_MS, LONG_STEPS } from './limits.js'

/** What a list of steps is sent with. */
export interface Sender {
  readonly client: string
  /** What the channel of every client starts with. */
  readonly channels: string
  /** Whether this client is told of its grants: else a push to it may be missed. */
  readonly hears: boolean
  readonly cluster: boolean
}

/** The keys and arguments of `steps.lua`, behind the number of keys. */
export function stepsRequest(steps: readonly Step[], keys: KeySpace, mark: string, sender: Sender): string[] {
  const request = ['', mark]
  const args: string[] = []
  let results = 0
  for (const step of steps) {
    const claim = step.kind === 'acquire' ? step.claim : step
    const { lock, queue, details } = keys.keys(claim.name)
    request.push(lock, queue, details)
    args.push(claim.owner)
    if (step.kind === 'acquire') pushAcquire(args, step)
    else if (step.kind === 'renew') args.push(`=${step.ttlMs ?? 0},${step.fence ?? ''}`)
    else if (step.result === null) args.push('')
    else {
      args.push(`!${step.result.keepMs}`, step.result.text)
      results += 1
    }
  }
  if (results > 0) request.push(...resultKeys(steps, keys))
  request[0] = String(request.length - 1)
  const settings = `${flag(sender.hears)} ${flag(sender.cluster)} ${GRANT_MS} ${ALIVE_MS} ${LONG_STEPS} ${results}`
  request.push(sender.channels, sender.client, String(IDLE_MS), settings)
  for (const arg of args) request.push(arg)
  return request
}

/** The keys and arguments of `watch.lua`, behind the number of keys. */
export function watchRequest({ name, owner }: ClaimId, keys: KeySpace, client: string): string[] {
  const { lock, queue, details } = keys.keys(name)
  const times = [String(IDLE_MS), String(ALIVE_MS)]
  return ['4', lock, queue, details, keys.result(name, owner), owner, client, ...times]
}

/** The keys and arguments of `inspect.lua`, behind the number of keys. */
export function inspectRequest(names: readonly string[], keys: KeySpace, shown: number, shownAtOnce: number): string[] {
  const all = names.flatMap(name => {
    const { lock, queue, details } = keys.keys(name)
    return [lock, queue, details]
  })
  return [String(all.length), ...all, String(shown), String(shownAtOnce)]
}

/**
 * A command as it goes over the wire, or `null` where that takes more than ASCII: then lengths in characters are none in
 * bytes.
 */
export function encoded(command: readonly string[]): string | null {
  let text = `*${command.length}\r\n`
  for (const part of command) text += `$${part.length}\r\n${part}\r\n`
  return Buffer.byteLength(text) === text.length ? text : null
}

function pushAcquire(args: string[], { claim, ticket, replaces }: AcquireStep): void {
  const { mode, limit, meta, noted = false } = claim
  const ttl = claim.ttlMs ?? 0
  if (mode === 'exclusive' && meta === null && !noted && replaces === null && typeof ticket !== 'number') {
    args.push(ticket === null ? `t${ttl}` : String(ttl))
    return
  }
  const letter = mode === 'exclusive' ? 'x' : 's'
  const more = `${noted ? 'n' : ''}${meta === null ? '' : 'm'}${replaces === null ? '' : 'r'}`
  args.push(`${letter}${limit ?? ''},${ttl},${ticket ?? ''},${more}`)
  if (meta !== null) args.push(meta)
  if (replaces !== null) args.push(replaces)
}

function resultKeys(steps: readonly Step[], keys: KeySpace): string[] {
  return steps.flatMap(step => {
    return step.kind === 'release' && step.result !== null ? [keys.result(step.name, step.owner)] : []
  })
}

function flag(value: boolean): string {
  return value ? '1' : '0'
}
