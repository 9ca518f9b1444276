export type {
  Duplicate,
  SingletonJobOptions,
  SingletonMode,
  SingletonStrategy,
} from './definition.js'
export type { Singleton, SingletonEvent, SingletonEvents } from './events.js'
export type { SingletonJob } from './job.js'
export type { SingletonOutcome, Unique } from './outcome.js'
export { SingletonQueue, type SingletonQueueOptions, type SingletonSettings } from './queue.js'
export type { OnLapsed } from './runs.js'
export { SingletonWorker, type SingletonWorkerOptions, type SingletonWorkerSettings } from './worker.js'
