import { SoloistError } from '../../../errors.js'

let warned = false

/**
 * Whether a server that is out of memory would throw away locks, by what it answers to INFO. Warns the process once.
 *
 * @returns what to tell, or `null` where there is nothing to fear or it is not known
 */
export function evictionOf(info: string): SoloistError | null {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const policy = field('maxmemory_policy')
  if (policy === undefined || policy === 'noeviction' || Number(field('maxmemory') ?? 0) === 0) return null
  const message =
    `Redis is set up as a cache: with maxmemory-policy ${policy} it throws away locks when its memory is full, and two ` +
    'clients may hold the same lock; set maxmemory-policy to noeviction, or use another server for locks'
  if (!warned) process.emitWarning(message, { type: 'SoloistWarning', code: 'SOLOIST_EVICTION' })
  warned = true
  return new SoloistError('BACKEND_UNSAFE', message)
}
