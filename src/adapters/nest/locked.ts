import { type Lease, type LockOptions, LockTimeoutError } from '../../index.js'
import { checkName, checkOptions } from '../../internal/check.js'
import { exclusive, lockRequest } from '../../lock/request.js'
import { within } from './current.js'
import { soloOf } from './instances.js'
import { type AnyMethod, type Decoration, decorate, refused } from './method.js'
import { checkSoloistName } from './tokens.js'

/** How a method with `@Locked` takes its lock. Every field is optional. */
export interface LockedOptions extends Omit<LockOptions, 'signal'> {
  /**
   * What becomes of a call while somebody else holds the lock. `'wait'`, the default: it waits, for `waitMs` if that is
   * given, and then rejects with `LOCK_TIMEOUT`. `'skip'`: the method is not run, and the call answers `undefined`.
   */
  readonly ifBusy?: 'wait' | 'skip' | undefined
  /** The name of the `Soloist` that takes it; default: the one without a name. */
  readonly soloist?: string | undefined
}

/** Parameters that begin with those of the function that makes the name. */
// biome-ignore lint/suspicious/noExplicitAny: further parameters may be of any type
type AtLeast<A extends readonly any[]> = readonly [...A, ...any[]]

type Begins<T extends AnyMethod, A extends readonly unknown[]> = Parameters<T> extends AtLeast<A> ? unknown : never

/** A method whose result may be `undefined`. */
type MayBeSkipped<T extends AnyMethod> = undefined extends Awaited<ReturnType<T>> ? unknown : never

/** For methods that answer with a promise. */
// biome-ignore lint/suspicious/noExplicitAny: the function that makes the name may take anything
export type LockedDecorator<A extends readonly any[]> = <T extends AnyMethod>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & Begins<T, A>,
) => void

/** For methods that answer with a promise of something that may be `undefined`, as `Promise<void>`. */
// biome-ignore lint/suspicious/noExplicitAny: the function that makes the name may take anything
export type SkippingDecorator<A extends readonly any[]> = <T extends AnyMethod>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & Begins<T, A> & MayBeSkipped<T>,
) => void

/**
 * Runs a method of a provider or a controller under a lock, as `withLock` does. `currentLease()` is its lease.
 *
 * @param name the lock's name, or a function that makes it of the arguments of the call
 * @throws SoloistError `INVALID_ARGUMENT` for a name or options that cannot be taken, and on what is no method
 */
// biome-ignore lint/suspicious/noExplicitAny: the function that makes the name may take anything
export function Locked<A extends readonly any[]>(
  name: string | ((...args: A) => string),
  options: LockedOptions & { readonly ifBusy: 'skip' },
): SkippingDecorator<A>
// biome-ignore lint/suspicious/noExplicitAny: the function that makes the name may take anything
export function Locked<A extends readonly any[]>(
  name: string | ((...args: A) => string),
  options?: LockedOptions,
): LockedDecorator<A>
// biome-ignore lint/suspicious/noExplicitAny: the function that makes the name may take anything
export function Locked<A extends readonly any[]>(
  name: string | ((...args: A) => string),
  options: LockedOptions = {},
): LockedDecorator<A> {
  if (typeof name !== 'function') checkName(name)
  const { soloist, skips, how } = checkLocked(options)
  const decoration: Decoration = {
    decorator: '@Locked',
    soloist,
    single: false,
    wrap: (original, { what }) =>
      async function (this: unknown, ...args) {
        const solo = soloOf(this, soloist, what)
        let entered = false
        const work = async (lease: Lease) => {
          entered = true
          return await within({ lease }, () => original.apply(this, args))
        }
        try {
          return await solo.withLock(typeof name === 'function' ? name(...(args as unknown as A)) : name, how, work)
        } catch (error) {
          // One that the method itself met is no matter of this lock.
          if (skips && !entered && error instanceof LockTimeoutError) return undefined
          throw error
        }
      },
    atStart: () => null,
  }
  return (...place: unknown[]) => decorate(place, decoration)
}

/** @throws SoloistError `INVALID_ARGUMENT` */
function checkLocked(options: LockedOptions) {
  checkOptions(options)
  const { soloist, ifBusy, ...how } = options
  if (soloist !== undefined) checkSoloistName(soloist)
  if (ifBusy !== undefined && ifBusy !== 'wait' && ifBusy !== 'skip') throw refused("ifBusy must be 'wait' or 'skip'")
  const skips = ifBusy === 'skip'
  if (skips && how.waitMs !== undefined) throw refused("with ifBusy: 'skip' no call waits, so there is no waitMs")
  if ((how as LockOptions).signal !== undefined) throw refused('one signal cannot be for all calls: @Locked takes none')
  lockRequest(exclusive('not known yet'), how)
  return { soloist, skips, how: skips ? { ...how, waitMs: 0 } : how }
}
