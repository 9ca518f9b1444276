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
  checkScripted(opts as Record<string, unknown>)
}

/** What names a job that stands for others, in BullMQ 6, in BullMQ 5, and as the scripts are told. */
const DEDUPLICATIONS = ['deduplication', 'debounce', 'de'] as const
/** What the scripts write as it is. */
const WRITTEN = ['delay', 'timestamp', 'repeatJobKey'] as const
/** Beyond it Lua writes whole numbers in a way that Redis does not read. */
const LARGEST_WHOLE = 2 ** 53

/** Of what their types tell, only what the scripts of BullMQ fail at: much else they take. */
function checkScripted(opts: Record<string, unknown>): void {
  for (const name of WRITTEN) {
    const value = opts[name]
    if (value && !isText(value)) throw invalid(`${name} must be a ${name === 'repeatJobKey' ? 'string' : 'number'}`)
  }
  for (const name of DEDUPLICATIONS) {
    const value = opts[name]
    if (!value && value !== 0) continue
    if (value === 0 || typeof value !== 'object') throw invalid(`${name} must be an object`)
    const { id, ttl } = value as { id?: unknown; ttl?: unknown }
    if (id && !isText(id)) throw invalid(`${name}.id must be a string`)
    if (ttl === undefined || ttl === null || ttl === false || typeof ttl === 'bigint') continue
    if (typeof ttl !== 'number') throw invalid(`${name}.ttl must be a number`)
    if (ttl > 0 && !(Number.isInteger(ttl) && ttl <= LARGEST_WHOLE)) throw invalid(`${name}.ttl must be a whole number`)
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
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
