export type { RedisClient } from '../../backends/redis/link/open.js'
export { type CeleryKeyOptions, celeryLockKey } from './key.js'
export {
  CeleryLocks,
  type CeleryLocksOptions,
  type CeleryStateOf,
  type CeleryTaken,
  type CeleryTakeOptions,
} from './locks.js'
export { PyFloat, type PythonJsonOptions, pyFloat, pythonJson } from './python-json.js'
export { CeleryResults, type CeleryResultsOptions } from './results.js'
export {
  type CeleryMessage,
  type CeleryOutcome,
  type CeleryPublish,
  type CelerySubmitOptions,
  CeleryTask,
  type CeleryTaskOptions,
} from './task.js'
