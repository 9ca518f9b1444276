import { SoloistError } from '../../errors.js'
import { injectInto } from './instances.js'

/** A method of an instance, whatever it takes. */
// biome-ignore lint/suspicious/noExplicitAny: a decorator is for methods of any parameters and result
export type AnyMethod = (...args: any) => Promise<any>

/** A class in which a decorated method is found at start. */
export interface Found {
  readonly prototype: object
  /** Whether a class between it and the one that declares the method puts another one in its place. */
  readonly overridden: boolean
}

/** A decorated method. */
export interface Site {
  /** The prototype of the class that declares it. */
  readonly prototype: object
  readonly key: string | symbol
  /** As messages name it. */
  readonly what: string
}

/** A function that takes the place of a method. */
export type Wrapped = (this: unknown, ...args: unknown[]) => Promise<unknown>

/** What a decorator makes of methods. */
export interface Decoration {
  /** `@Locked` and such. */
  readonly decorator: string
  /** The name of the `Soloist` that it uses. */
  readonly soloist: string | undefined
  /** Whether there must be one instance, which a timer knows. */
  readonly single: boolean
  wrap(original: AnyMethod, site: Site): Wrapped
  /**
   * Checks, at start, what is not known before.
   *
   * @returns what must be unique in an application: a name, and what else may bear it
   * @throws SoloistError
   */
  atStart(found: Found, site: Site): { readonly name: string; readonly of: object } | null
}

/** A method that was decorated, and how. */
export interface Mark {
  readonly site: Site
  readonly decoration: Decoration
}

interface MetadataReflect {
  getOwnMetadataKeys?(target: object): unknown[]
  getOwnMetadata(key: unknown, target: object): unknown
  defineMetadata(key: unknown, value: unknown, target: object): void
}

const marks = new WeakMap<object, Mark[]>()

/** The decorated methods of a class and of those that it extends. */
export function marksOf(prototype: object): readonly { readonly mark: Mark; readonly overridden: boolean }[] {
  const found: { mark: Mark; overridden: boolean }[] = []
  const seen = new Set<string | symbol>()
  for (let at: object | null = prototype; at !== null; at = Object.getPrototypeOf(at)) {
    for (const mark of marks.get(at) ?? []) found.push({ mark, overridden: seen.has(mark.site.key) })
    if (at !== Object.prototype) for (const key of Reflect.ownKeys(at)) seen.add(key)
  }
  return found
}

/** What a tick or a job is called when its author does not say. */
export function classAndMethod(prototype: object, key: string | symbol): string {
  return `${prototype.constructor.name}.${String(key)}`
}

/**
 * Puts another function in the place of a method, with its name and all metadata that other decorators gave it.
 *
 * @param place what the compiler passed to the decorator
 * @throws SoloistError `INVALID_ARGUMENT` for what is no method of instances
 */
export function decorate(place: readonly unknown[], decoration: Decoration): void {
  const [target, key, descriptor] = place as [unknown, unknown, PropertyDescriptor | undefined]
  const { decorator } = decoration
  if (isStandard(key)) throw refused(`${decorator} needs the compiler option "experimentalDecorators", as Nest does`)
  const isKey = typeof key === 'string' || typeof key === 'symbol'
  if (typeof target === 'function') {
    throw refused(
      isKey
        ? `${decorator} is for methods of instances, and ${target.name}.${String(key)} is static`
        : `${decorator} is for methods, and ${target.name} is a class`,
    )
  }
  const original = descriptor?.value
  if (!isKey || typeof target !== 'object' || target === null || typeof original !== 'function') {
    throw refused(`${decorator} is for methods, and ${String(key)} is none`)
  }
  const site = { prototype: target, key, what: `${decorator} ${classAndMethod(target, key)}` }
  const wrapped = decoration.wrap(original, site)
  Object.defineProperty(wrapped, 'name', { value: original.name, configurable: true })
  Object.defineProperty(wrapped, 'length', { value: original.length, configurable: true })
  copyMetadata(original, wrapped)
  Object.assign(descriptor as PropertyDescriptor, { value: wrapped })
  injectInto(target, decoration.soloist)
  const others = marks.get(target) ?? []
  marks.set(target, [...others, { site, decoration }])
}

/** Decorators further up may read what those further down have noted of the method, and Nest reads all of it. */
function copyMetadata(from: object, to: object): void {
  const reflect = Reflect as unknown as MetadataReflect
  for (const key of reflect.getOwnMetadataKeys?.(from) ?? []) {
    reflect.defineMetadata(key, reflect.getOwnMetadata(key, from), to)
  }
}

/** Whether it is the context that decorators of the standard get. */
function isStandard(key: unknown): boolean {
  return typeof key === 'object' && key !== null && 'kind' in key
}

export function refused(message: string): SoloistError {
  return new SoloistError('INVALID_ARGUMENT', message)
}
