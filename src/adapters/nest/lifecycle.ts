import type { Soloist } from '../../index.js'
import { clearTimeout, monotonicMs, setTimeout } from '../../internal/real-time.js'
import { bind } from './instances.js'
import { marksOf, refused } from './method.js'

/** The members of Nest's `InstanceWrapper` that are read. */
interface InstanceWrapper {
  readonly token: unknown
  readonly metatype: unknown
  readonly instance: unknown
  /** What a factory is given; nothing for a class. */
  readonly inject?: unknown
  readonly isTransient: boolean
  isDependencyTreeStatic(): boolean
}

/** Nest's `DiscoveryService`. */
export interface Discovery {
  getProviders(): readonly InstanceWrapper[]
  getControllers(): readonly InstanceWrapper[]
}

/** What becomes of one `Soloist` as the application starts and ends. */
export interface Course {
  readonly solo: Soloist
  readonly name: string | undefined
  readonly token: unknown
  readonly drainMs: number
}

/** A class with decorated methods, and its instance where there is exactly one. */
interface Service {
  readonly prototype: object
  readonly instance: object | null
  readonly wrapper: InstanceWrapper
}

/**
 * Checks every decorated method as the application starts, and closes the `Soloist` as it ends. Nest calls the hooks of
 * global modules first at start and last at the end.
 */
export class Lifecycle {
  readonly #course: Course
  readonly #discovery: Discovery
  #untilMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(course: Course, discovery: Discovery) {
    this.#course = course
    this.#discovery = discovery
  }

  onModuleInit(): void {
    const { name, token } = this.#course
    const providers = this.#discovery.getProviders()
    if (providers.filter(wrapper => wrapper.token === token).length > 1) {
      const which = name === undefined ? 'without a name' : `named ${JSON.stringify(name)}`
      throw refused(`there are two SoloistModules ${which}: import one in the root module, which is global`)
    }
    const taken = new Map<string, { readonly of: object; readonly what: string }>()
    for (const wrapper of [...providers, ...this.#discovery.getControllers()]) {
      const service = serviceOf(wrapper)
      if (service !== null) this.#check(service, taken)
    }
  }

  /**
   * All other modules have had their turn, so schedulers have stopped. Servers and workers close next. What they have begun
   * may still take locks, but not for ever.
   */
  beforeApplicationShutdown(): void {
    const { solo, drainMs } = this.#course
    this.#untilMs = monotonicMs() + drainMs
    this.#timer = setTimeout(() => {
      // Whoever waits for a lock holds up the server that waits for it. How closing ends is told by the hook below.
      void solo.close().catch(() => undefined)
    }, drainMs)
  }

  /** Servers have closed, and the workers of modules that came after this one. */
  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#course.solo.close({ drainMs: Math.max(this.#untilMs - monotonicMs(), 0) })
  }

  #check(service: Service, taken: Map<string, { readonly of: object; readonly what: string }>): void {
    const { name, solo } = this.#course
    const { prototype, instance, wrapper } = service
    for (const { mark, overridden } of marksOf(prototype)) {
      const { site, decoration } = mark
      if (decoration.soloist !== name) continue
      const { what } = site
      if (!wrapper.isDependencyTreeStatic()) {
        const why = 'is request-scoped, or needs something that is: move the method to a provider that is not'
        throw refused(`${what}: ${prototype.constructor.name} ${why}`)
      }
      if (wrapper.isTransient && decoration.single) {
        throw refused(`${what}: ${prototype.constructor.name} is transient, so no timer calls the method`)
      }
      if (instance !== null) bind(instance, name, solo)
      const unique = decoration.atStart({ prototype, overridden }, site)
      if (unique === null) continue
      const key = `${decoration.decorator} ${unique.name}`
      const other = taken.get(key)
      if (other !== undefined && other.of !== unique.of) {
        throw refused(
          `${what} and ${other.what} have one name, ${JSON.stringify(unique.name)}: give one of them another`,
        )
      }
      taken.set(key, { of: unique.of, what })
    }
  }
}

function serviceOf(wrapper: InstanceWrapper): Service | null {
  const { metatype, instance, inject } = wrapper
  const madeByNest = typeof metatype === 'function' && (inject === undefined || inject === null)
  if (madeByNest && !(wrapper.isDependencyTreeStatic() && !wrapper.isTransient)) {
    const { prototype } = metatype as { readonly prototype?: unknown }
    return isObject(prototype) ? { prototype, instance: null, wrapper } : null
  }
  const prototype = isObject(instance) ? Object.getPrototypeOf(instance) : null
  return isObject(prototype) ? { prototype, instance: instance as object, wrapper } : null
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
