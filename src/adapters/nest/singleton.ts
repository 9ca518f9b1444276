import type { Job, JobOptions, JobRun } from '../../index.js'
import { checkOptions } from '../../internal/check.js'
import { jobDefinition } from '../../job/options.js'
import { within } from './current.js'
import { soloOf } from './instances.js'
import { classAndMethod, type Decoration, decorate, marksOf, refused, type Site } from './method.js'
import { checkSoloistName } from './tokens.js'

/** How a method with `@Singleton` is run: as a job. Every field is optional. */
// biome-ignore lint/suspicious/noExplicitAny: what the method takes is known only where the decorator stands
export interface SingletonMethodOptions<A = any> extends JobOptions<A> {
  /** The name of the job; default: that of the class, a dot, and that of the method. */
  readonly name?: string | undefined
  /** The name of the `Soloist` that runs it; default: the one without a name. */
  readonly soloist?: string | undefined
}

/** A method that is a job: it takes one argument or none, and answers with a promise. */
// biome-ignore lint/suspicious/noExplicitAny: a decorator is for methods of any argument and result
type JobMethod = (args?: any) => Promise<any>

/** For methods that take one argument or none and answer with a promise. */
export type SingletonDecorator = <T extends JobMethod>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void

/** The job behind a method. */
// biome-ignore lint/suspicious/noExplicitAny: any argument and result
export type JobOfMethod<M> = M extends (...args: any) => Promise<infer R>
  ? Job<Parameters<M> extends [] ? undefined : Parameters<M>[0], R>
  : never

/** Makes the job of an instance, once. */
type JobOfInstance = (instance: object) => Job<unknown, unknown>

const jobs = new WeakMap<Site, JobOfInstance>()

/**
 * Makes a method a singleton job: a call while the same job is live with the same argument joins it, here or in any other
 * process, or does what `onDuplicate` says. `currentRun()` tells of the run, and `jobOf(service, 'method')` is the job.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for options that cannot be taken, on a method of several parameters, and on what
 *   is no method
 */
// biome-ignore lint/suspicious/noExplicitAny: what the method takes is known only where the decorator stands
export function Singleton<A = any>(options: SingletonMethodOptions<A> = {}): SingletonDecorator {
  checkOptions(options)
  const { name, soloist, ...how } = options
  if (soloist !== undefined) checkSoloistName(soloist)
  const never = () => undefined
  jobDefinition(name ?? 'not known yet', how, never)
  const decoration: Decoration = {
    decorator: '@Singleton',
    soloist,
    single: false,
    wrap: (original, site) => {
      const { key, what } = site
      if (original.length > 1)
        throw refused(`${what} takes ${original.length} arguments, and a job takes one: an object`)
      const made = new WeakMap<object, Job<unknown, unknown>>()
      const jobOfInstance = (instance: object) => {
        let job = made.get(instance)
        if (job === undefined) {
          const solo = soloOf(instance, soloist, what)
          const run = (args: unknown, job: JobRun) => within({ job }, () => original.call(instance, args))
          job = solo.job(name ?? classAndMethod(Object.getPrototypeOf(instance), key), how as JobOptions<unknown>, run)
          made.set(instance, job as Job<unknown, unknown>)
        }
        return job as Job<unknown, unknown>
      }
      jobs.set(site, jobOfInstance)
      return async function (this: unknown, args) {
        soloOf(this, soloist, what)
        return await jobOfInstance(this as object)(args)
      }
    },
    atStart: ({ prototype, overridden }, site) => {
      if (name !== undefined) return { name, of: site.prototype }
      if (overridden) return null
      const ofClass = classAndMethod(prototype, site.key)
      jobDefinition(ofClass, how, never)
      return { name: ofClass, of: prototype }
    },
  }
  return (...place: unknown[]) => decorate(place, decoration)
}

/**
 * The job behind a method with `@Singleton`, for `trigger`, `key` and `counts`.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a method without it, or an instance that Nest has not made
 */
export function jobOf<S extends object, K extends keyof S & (string | symbol)>(
  instance: S,
  method: K,
): JobOfMethod<S[K]> {
  const found = marksOf(Object.getPrototypeOf(instance)).find(
    ({ mark, overridden }) => mark.site.key === method && jobs.has(mark.site) && !overridden,
  )
  const jobOfInstance = found === undefined ? undefined : jobs.get(found.mark.site)
  if (jobOfInstance === undefined) {
    throw refused(`${classAndMethod(Object.getPrototypeOf(instance), method)} is no method with @Singleton`)
  }
  return jobOfInstance(instance) as JobOfMethod<S[K]>
}
