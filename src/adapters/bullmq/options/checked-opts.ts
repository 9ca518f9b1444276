import { type JobsOptions, QueueKeys } from 'bullmq'
import { invalid } from './definition.js'

/** What a queue keeps under its own name, as it keeps a job under its id: BullMQ's, and ours. */
const TAKEN_IDS: ReadonlySet<string> = new Set([
  ...Object.keys(new QueueKeys().getKeys('')),
  ...['soloist', 'soloist-swept', 'soloist-tidied'],
  ...['metrics:completed:data', 'metrics:failed:data'],
])
/** How deep the scripts of BullMQ can write what they read. */
const DEEPEST = 1_000
const LEAST_BIGINT = -(2n ** 63n)
const BIGINTS_END = 2n ** 64n

/**
 * Refuses what the scripts of BullMQ fail at, and where BullMQ's own error is none that says so.
 *
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function checkOpts(opts: JobsOptions | null | undefined): void {
  if (opts === undefined || opts === null) return
  const jobId: unknown = opts.jobId
  if (jobId !== undefined && jobId !== null) {
    if (typeof jobId !== 'string') throw invalid('jobId must be a string')
    if (!jobId.isWellFormed()) throw invalid('jobId must be well-formed: it has half of a surrogate pair')
    if (TAKEN_IDS.has(jobId) && jobId !== '')
      throw invalid(`jobId must not be ${JSON.stringify(jobId)}: the queue keeps data of its own there`)
  }
  checkValues(opts)
}

/**
 * Refuses options that cannot be sent, or that no script of BullMQ can take.
 *
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function checkValues(opts: object): void {
  for (const [name, value] of Object.entries(opts)) {
    const wrong = typeof value === 'string' ? null : wrongIn(value, [opts])
    if (wrong !== null) throw invalid(`option ${JSON.stringify(name)} cannot be sent: ${wrong}`)
  }
}

/** @returns what is wrong, in words; `null`: nothing */
function wrongIn(value: unknown, around: readonly object[]): string | null {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? null : `it has ${value}`
    case 'bigint':
      return value >= LEAST_BIGINT && value < BIGINTS_END ? null : 'it has a bigint of more than 64 bits'
    case 'symbol':
      return 'it has a symbol'
    case 'object':
      return value === null ? null : wrongInObject(value, around)
    default:
      return null
  }
}

function wrongInObject(value: object, around: readonly object[]): string | null {
  if (around.includes(value)) return 'it has a cycle'
  if (around.length >= DEEPEST) return 'it is nested too deep'
  if (value instanceof Date || ArrayBuffer.isView(value)) return 'it has what JSON does not know'
  const within = [...around, value]
  for (const one of Object.values(value)) {
    const wrong = wrongIn(one, within)
    if (wrong !== null) return wrong
  }
  return null
}
