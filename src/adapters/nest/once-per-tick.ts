import { oncePerTick, type TickOptions, type TickRun } from '../../cron/index.js'
import { checkCronName } from '../../cron/names.js'
import { checkOnce } from '../../cron/options.js'
import { SoloistError } from '../../errors.js'
import { checkOptions } from '../../internal/check.js'
import { wallMs } from '../../internal/real-time.js'
import { within } from './current.js'
import { soloOf } from './instances.js'
import { type AnyMethod, classAndMethod, type Decoration, decorate } from './method.js'
import { tickAtOf } from './schedule.js'
import { checkSoloistName } from './tokens.js'

/** How a method with `@OncePerTick` is run. Every field is optional. */
export interface OncePerTickMethodOptions extends TickOptions {
  /** The name of the `Soloist` that takes the ticks; default: the one without a name. */
  readonly soloist?: string | undefined
}

/** For methods that answer with a promise of something that may be `undefined`, as `Promise<void>`. */
export type OncePerTickDecorator = <T extends AnyMethod>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & (undefined extends Awaited<ReturnType<T>> ? unknown : never),
) => void

/**
 * Has one of all instances run each tick of a method that has `@Cron` of `@nestjs/schedule`, above or below this. The time
 * of the tick is that of the pattern of `@Cron`, so clocks may differ. `currentTick()` tells it.
 *
 * A call answers `undefined` on an instance that does not run the tick. It rejects with what the method threw, with
 * `LEASE_LOST`, and with `CLOCKS_DIFFER` when this instance's clock is too wrong.
 *
 * @param name the name of the cron job; default: that of the class, a dot, and that of the method
 * @throws SoloistError `INVALID_ARGUMENT` for a name or options that cannot be taken, and on what is no method
 */
export function OncePerTick(options?: OncePerTickMethodOptions): OncePerTickDecorator
export function OncePerTick(name: string | undefined, options?: OncePerTickMethodOptions): OncePerTickDecorator
export function OncePerTick(
  first?: string | OncePerTickMethodOptions,
  second: OncePerTickMethodOptions = {},
): OncePerTickDecorator {
  const [name, options] = typeof first === 'object' ? [undefined, first] : [first, second]
  if (name !== undefined) checkCronName(name)
  checkOptions(options)
  const { soloist, ...how } = options
  if (soloist !== undefined) checkSoloistName(soloist)
  checkOnce(how)
  const decoration: Decoration = {
    decorator: '@OncePerTick',
    soloist,
    single: true,
    wrap: (original, site) =>
      async function (this: unknown, ...args) {
        const solo = soloOf(this, soloist, site.what)
        const prototype = Object.getPrototypeOf(this)
        const tickMs = tickAtOf(prototype, site)(wallMs())
        const work = (tick: TickRun) => within({ tick }, () => original.apply(this, args))
        const outcome = await oncePerTick(solo, name ?? classAndMethod(prototype, site.key), tickMs, work, how)
        switch (outcome.status) {
          case 'ran':
            return outcome.value
          case 'failed':
          case 'lost':
            throw outcome.error
          case 'refused':
            throw clocksDiffer(site.what, tickMs, outcome.offMs, outcome.why)
          default:
            return undefined
        }
      },
    atStart: ({ prototype, overridden }, site) => {
      // A method in its place has no timer, or one of its own.
      if (overridden) return null
      tickAtOf(prototype, site)
      const ofClass = checkCronName(classAndMethod(prototype, site.key))
      return name === undefined ? { name: ofClass, of: prototype } : { name, of: site.prototype }
    },
  }
  return (...place: unknown[]) => decorate(place, decoration)
}

function clocksDiffer(what: string, tickMs: number, offMs: number, why: 'late' | 'early'): SoloistError {
  const tick = new Date(tickMs).toISOString()
  const message = `${what}: by the store's clock the tick of ${tick} is ${Math.abs(offMs)} ms too ${why}`
  return new SoloistError('CLOCKS_DIFFER', message)
}
