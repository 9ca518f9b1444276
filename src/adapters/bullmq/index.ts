export type { SingletonOutcome, Unique } from './adding/outcome.js'
export { SingletonFlowProducer, type SingletonFlowProducerOptions } from './flow.js'
export type { SingletonJob } from './job.js'
export type { Singleton, SingletonEvent, SingletonEvents } from './lock/events.js'
export type {
  Duplicate,
  SingletonJobOptions,
  SingletonMode,
  SingletonStrategy,
} from './options/definition.js'
export type { OnLapsed, SingletonSettings, SingletonWorkerSettings } from './options/settings.js'
export { SingletonQueue, type SingletonQueueOptions } from './queue.js'
export { type SingletonRun, singletonRun } from './running/run.js'
export { SingletonWorker, type SingletonWorkerOptions } from './worker.js'
export { SingletonAdder, SingletonProcessor } from './wrap.js'
