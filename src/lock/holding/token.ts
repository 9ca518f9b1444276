import type { ClaimMode } from '../../backend.js'
import { invalidArgument } from '../../errors.js'
import { checkLimit, checkMs, checkName, checkText } from '../../internal/check.js'

/** What a holding is handed on as: everything a lease is made of again. */
export interface Holding {
  readonly name: string
  readonly owner: string
  readonly fence: number
  readonly mode: ClaimMode
  readonly limit: number | null
  readonly ttlMs: number
  /** How much longer the lock is to be kept although it is released, in milliseconds; 0: no longer. */
  readonly holdForMs: number
}

/** What each token begins with: its form may change with this. */
const PREFIX = 'soloist-lease-1.'
/** More than the longest name and owner take, however they are escaped. */
const LONGEST = 32 * 1024

/** The holding as text of letters, digits and `._-`, for a variable, a header or a message. It holds no secret. */
export function tokenOf({ name, owner, fence, mode, limit, ttlMs, holdForMs }: Holding): string {
  const text = JSON.stringify({ name, owner, fence, mode, limit, ttlMs, holdForMs } satisfies Holding)
  return `${PREFIX}${Buffer.from(text).toString('base64url')}`
}

/** @throws SoloistError `INVALID_ARGUMENT` for what is no token */
export function holdingOf(token: unknown): Holding {
  if (typeof token !== 'string') throw invalidArgument('a token must be a string, as detach() returned it')
  if (!token.startsWith(PREFIX) || token.length > LONGEST) throw invalidArgument('this is no token of detach()')
  const data = parsed(token.slice(PREFIX.length))
  const { name, owner, fence, mode, limit, ttlMs, holdForMs } = data
  if (mode !== 'exclusive' && mode !== 'shared') throw invalidArgument('the token names no kind of lock')
  if (typeof fence !== 'number' || !Number.isSafeInteger(fence) || fence < 1) {
    throw invalidArgument('the token has no fence')
  }
  if (checkText('the owner of a token', owner) === '') throw invalidArgument('the token names no owner')
  return {
    name: checkName(name),
    owner: owner as string,
    fence,
    mode,
    limit: limit === null || mode === 'exclusive' ? null : checkLimit(limit),
    ttlMs: checkMs('the ttlMs of a token', ttlMs, 1),
    holdForMs: checkMs('the holdForMs of a token', holdForMs, 0),
  }
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  if (!/^[\w-]+$/.test(text)) throw invalidArgument('the token was damaged on its way')
  try {
    const data: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    if (data !== null && typeof data === 'object') return data as Readonly<Record<string, unknown>>
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw invalidArgument('the token was damaged on its way')
}
