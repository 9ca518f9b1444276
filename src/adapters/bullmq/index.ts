export type {
  Duplicate,
  SingletonJobOptions,
  SingletonMode,
  SingletonStrategy,
} from './definition.js'
export type { Singleton, SingletonEvent, SingletonEvents } from './events.js'
export { SingletonFlowProducer, type SingletonFlowProducerOptions } from './flow.js'
export type { SingletonJob } from './job.js'
export type { SingletonOutcome, Unique } from './outcome.js'
export { SingletonQueue, type SingletonQueueOptions } from './queue.js'
export type { SingletonSettings } from './queue-side.js'
export type { OnLapsed } from './runs.js'
export { SingletonWorker, type SingletonWorkerOptions } from './worker.js'
export type { SingletonWorkerSettings } from './worker-side.js'
export { SingletonAdder, SingletonProcessor } from './wrap.js'
