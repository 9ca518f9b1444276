import type * as bullmq from 'bullmq'

// Types that BullMQ 6 names and BullMQ 5 does not, as each version has them.

/** What makes the backend of a queue. BullMQ 5 has no backends, so there is no such argument. */
export type BackendFactory = typeof bullmq extends {
  createRedisBackend(...args: infer A): unknown
  getDefaultBackendFactory(): (...args: never) => infer B
}
  ? (...args: A) => B
  : never

/** What a `FlowProducer` is made with. */
export type FlowProducerOptions = bullmq.FlowProducer['opts']

/** The second argument of a job's `retry`, which the oldest versions do not have. */
export type RetryOptions = bullmq.Job['retry'] extends (state: never, opts: infer O) => unknown ? O : never
