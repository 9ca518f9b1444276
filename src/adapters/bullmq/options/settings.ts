import type { Soloist } from '../../../index.js'
import { checkOptionNames, type OptionNames } from '../../../internal/check.js'
import {
  choiceOption,
  type Definition,
  definitions,
  invalid,
  msOption,
  type SingletonJobOptions,
} from './definition.js'

/** Which jobs of a queue are singletons, and how. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export interface SingletonSettings<DataType = any, NameType extends string = string> {
  /** By job name. Jobs of other names are added as by BullMQ's own `Queue`. */
  readonly jobs: { readonly [name in NameType]?: SingletonJobOptions<DataType> }
  /** Where the locks are: the same for every queue and worker. Default: on the queue's Redis, opened and closed with it. */
  readonly solo?: Soloist | undefined
  /**
   * What the keys of the locks on the queue's Redis start with: the same for every queue and worker; default `'soloist:'`.
   * Not with `solo`, which has its own.
   */
  readonly prefix?: string | undefined
  /**
   * Where lock and job are two steps: how long a job may take to appear in its queue after its lock was taken, in milliseconds;
   * default 5,000; the same everywhere. After that others take it that its producer has died. A job that comes later waits for its
   * turn, see `onLapsed` of the worker. So long, too, an id of the caller's is kept for a producer that died while it added.
   */
  readonly graceMs?: number | undefined
  /**
   * When the locks' store is down: `add` fails (`'fail'`, the default), or the job is queued without the guarantee
   * (`'enqueue'`), which its outcome tells.
   */
  readonly onBackendFault?: 'fail' | 'enqueue' | undefined
}

/** What becomes of a job that comes to its start and finds its place taken by another live job. */
export type OnLapsed = 'snooze' | 'fail' | 'drop'

/** How a worker treats singleton jobs. Every field is optional. */
// biome-ignore lint/suspicious/noExplicitAny: BullMQ's own defaults
export interface SingletonWorkerSettings<DataType = any, NameType extends string = string> {
  /** As the queue's; only `merge`, and what the key is made of, is needed here. */
  readonly jobs?: { readonly [name in NameType]?: SingletonJobOptions<DataType> } | undefined
  /** Where the locks are: the same as for the queue. Default: on the worker's Redis, opened and closed with it. */
  readonly solo?: Soloist | undefined
  /** As the queue's. */
  readonly prefix?: string | undefined
  /**
   * What becomes of a job that comes to its start and finds its place taken by another live job: it waits until that one
   * has ended (`'snooze'`, the default), fails, or ends without being run (`'drop'`). The event `lapsed` tells.
   */
  readonly onLapsed?: OnLapsed | undefined
  /** As the queue's. */
  readonly graceMs?: number | undefined
}

const SETTING_NAMES: OptionNames<SingletonSettings> = {
  ...{ jobs: true, solo: true, prefix: true, graceMs: true, onBackendFault: true },
}
const WORKER_SETTING_NAMES: OptionNames<SingletonWorkerSettings> = {
  ...{ jobs: true, solo: true, prefix: true, onLapsed: true, graceMs: true },
}

export interface CheckedSettings {
  readonly graceMs: number
  readonly onBackendFault: 'fail' | 'enqueue'
  readonly jobs: ReadonlyMap<string, Definition>
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkSettings(settings: SingletonSettings): CheckedSettings {
  if (settings === null || typeof settings !== 'object') throw invalid('singleton must be an object with jobs')
  checkOptionNames(settings, SETTING_NAMES, 'singleton: ')
  return {
    graceMs: msOption('graceMs', settings.graceMs, 5_000),
    onBackendFault: choiceOption<'fail' | 'enqueue'>('onBackendFault', settings.onBackendFault, ['fail', 'enqueue']),
    jobs: definitions(settings.jobs),
  }
}

export interface CheckedWorkerSettings {
  readonly onLapsed: OnLapsed
  readonly graceMs: number
  readonly jobs: ReadonlyMap<string, Definition>
}

/** @throws SoloistError `INVALID_ARGUMENT` */
export function checkWorkerSettings(settings: SingletonWorkerSettings): CheckedWorkerSettings {
  if (settings === null || typeof settings !== 'object') throw invalid('singleton must be an object of options')
  checkOptionNames(settings, WORKER_SETTING_NAMES, 'singleton: ')
  return {
    onLapsed: choiceOption<OnLapsed>('onLapsed', settings.onLapsed, ['snooze', 'fail', 'drop']),
    graceMs: msOption('graceMs', settings.graceMs, 5_000),
    jobs: settings.jobs === undefined ? new Map() : definitions(settings.jobs),
  }
}
