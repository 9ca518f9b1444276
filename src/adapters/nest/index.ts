export { currentLease, currentRun, currentTick } from './current.js'
export { Locked, type LockedDecorator, type LockedOptions, type SkippingDecorator } from './locked.js'
export type { AnyMethod } from './method.js'
export {
  type SoloistDynamicModule,
  SoloistModule,
  type SoloistModuleOptions,
  type SoloistRootAsyncOptions,
  type SoloistRootOptions,
} from './module.js'
export { OncePerTick, type OncePerTickDecorator, type OncePerTickMethodOptions } from './once-per-tick.js'
export {
  type JobOfMethod,
  jobOf,
  Singleton,
  type SingletonDecorator,
  type SingletonMethodOptions,
} from './singleton.js'
export { getSoloistToken, InjectSoloist } from './tokens.js'
