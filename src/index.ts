export type {
  AcquireAnswer,
  AcquireStep,
  Again,
  Answer,
  Answers,
  Backend,
  BeginAnswer,
  BeginStep,
  Begun,
  Busy,
  Claim,
  ClaimId,
  ClaimMode,
  Displaced,
  Ended,
  Fault,
  Granted,
  GuardingBackend,
  HandedGrant,
  Held,
  Holder,
  KeptResult,
  LockState,
  Lost,
  Note,
  PendingRun,
  PushedGrant,
  PushGap,
  ReleaseAnswer,
  Released,
  ReleaseStep,
  RenewAnswer,
  RenewStep,
  ResultStore,
  Seen,
  SeenRun,
  Step,
  StoreEvent,
  StoreFault,
  TriggerAction,
  TriggerAnswer,
  TriggerGranted,
  TriggerMet,
  TriggerQueued,
  TriggerStep,
  Waiter,
  WatchReply,
} from './backend.js'
export { type MemoryBackendOptions, memoryBackend } from './backends/memory/backend.js'
export { MemoryStore } from './backends/memory/store.js'
export { type ConnectOptions, connect, defaultUrl } from './connect.js'
export {
  DuplicateJobError,
  JobFailedError,
  type JobState,
  LockTimeoutError,
  SoloistError,
  type SoloistErrorCode,
} from './errors.js'
export type { Clock, Timer } from './internal/clock.js'
export type { JobMode, JobStrategy } from './internal/job-modes.js'
export type { Debounce } from './internal/job-terms.js'
export type { Job, JobArguments, JobCall, JobOutcome } from './job/job.js'
export type { JobClaimOptions, JobHolder, JobLocks, JobTakeOptions, Taken } from './job/locks.js'
export { type JobKeyOptions, jobKey, type UniqueOn } from './job/naming/key.js'
export { type JobMeta, parseJobMeta } from './job/naming/meta.js'
export {
  type JobLockNames,
  type JobLockPart,
  jobLockNames,
  jobLockNaming,
  type ParsedJobLock,
  parseJobLock,
} from './job/naming/names.js'
export type {
  DecideStrategy,
  DuplicateTrigger,
  JobHandler,
  JobOptions,
  JobRun,
} from './job/options.js'
export type { JobCount, JobCounts, TriggerOutcome, TriggerStatus } from './job/outcome.js'
export type { ResultOptions } from './job/waiting.js'
export type { CampaignOptions, Leader, LeaderEvents, LeaderOptions, LeaderState } from './leader/leader.js'
export type { Term } from './leader/term.js'
export type { ClaimEvent, FaultEvent, JobFailure, SoloistEventName, SoloistEvents } from './lock/events.js'
export type { LeaseGroup } from './lock/group.js'
export type { GuardedLease, Lease, LeaseOf } from './lock/holding/lease.js'
export type { Lock, ReadWriteLock, Work } from './lock/lock.js'
export type { LockOptions, TryLockOptions } from './lock/request.js'
export { type CloseOptions, Soloist, type SoloistOptions, type UnlockTarget } from './soloist.js'
