import type { Clocks } from './clocks.js'
import type { JobRecord, StartedRecord, TriggerRecord } from './job-records.js'
import type { Report } from './report.js'

/** One trigger of a job. All times are on the shared scale. */
export interface Triggered {
  readonly id: string
  readonly process: string | null
  readonly covers: 'later' | 'live'
  readonly merges: boolean
  readonly sentMs: number
  /** When it was answered; `Infinity`: it was not. */
  acceptedMs: number
  /** What it was told: a run, or `null` and a code. `undefined`: it was not. */
  run: string | null | undefined
  code: string | null
}

/** One run of a job, from its handler's call on. */
export interface Ran {
  readonly id: string
  readonly process: string | null
  readonly fence: number
  readonly limit: number | null
  readonly triggers: readonly string[]
  /** The handler was called between these. */
  readonly earliestMs: number
  readonly fromMs: number
  /** The last moment at which it is known to have been valid. */
  validMs: number
  finished: 'no' | 'valid' | 'lost'
}

/** Everything a history tells of one job with one key. */
export interface JobHistory {
  readonly triggers: Map<string, Triggered>
  readonly runs: Map<string, Ran>
}

/** Turns records about jobs into triggers and runs. */
export class JobReader {
  readonly jobs: Map<string, JobHistory> = new Map()
  readonly #clocks: Clocks
  readonly #report: Report

  constructor(clocks: Clocks, report: Report) {
    this.#clocks = clocks
    this.#report = report
  }

  /** @returns when it was at the latest */
  read(record: JobRecord): number {
    const { name } = record
    let job = this.jobs.get(name)
    if (job === undefined) {
      job = { triggers: new Map(), runs: new Map() }
      this.jobs.set(name, job)
    }
    if (record.event === 'trigger') return this.#trigger(job, record)
    if (record.event === 'started') return this.#started(job, record)
    if (record.event === 'accepted' || record.event === 'settled') {
      const trigger = job.triggers.get(record.trigger)
      const atMs = this.#clocks.latest(trigger?.process ?? null, record.atMs)
      if (trigger === undefined || trigger.run !== undefined) {
        const why = trigger === undefined ? 'never came' : 'had been told what became of it'
        this.#report('malformed', name, `the trigger ${record.trigger} was ${record.event}, which ${why}`)
      } else if (record.event === 'accepted') trigger.acceptedMs = Math.min(trigger.acceptedMs, atMs)
      else {
        trigger.run = record.run
        trigger.code = record.code ?? null
      }
      return atMs
    }
    const run = job.runs.get(record.run)
    const [earliestMs, latestMs] = this.#times(run?.process ?? null, record.atMs)
    if (run === undefined || run.finished !== 'no') {
      this.#report('malformed', name, `${record.run} is ${record.event}, which did not start or has ended`)
    } else if (record.event === 'running') run.validMs = Math.max(run.validMs, earliestMs)
    else if (record.valid) {
      run.validMs = Math.max(run.validMs, earliestMs)
      run.finished = 'valid'
    } else run.finished = 'lost'
    return latestMs
  }

  #trigger(job: JobHistory, record: TriggerRecord): number {
    const { name, trigger: id, process = null, covers, merges = false, atMs } = record
    if (job.triggers.has(id)) this.#report('malformed', name, `the trigger ${id} came twice`)
    const [sentMs, latestMs] = this.#times(process, atMs)
    job.triggers.set(id, { id, process, covers, merges, sentMs, acceptedMs: Infinity, run: undefined, code: null })
    return latestMs
  }

  #started(job: JobHistory, record: StartedRecord): number {
    const { name, run: id, process = null, fence, limit, triggers, atMs } = record
    const [earliestMs, fromMs] = this.#times(process, atMs)
    if (job.runs.has(id)) this.#report('repeated', name, `the run ${id} was begun twice`)
    const open = { validMs: fromMs, finished: 'no' } as const
    job.runs.set(id, { id, process, fence, limit, triggers, earliestMs, fromMs, ...open })
    return fromMs
  }

  #times(process: string | null, atMs: number): readonly [number, number] {
    return [this.#clocks.earliest(process, atMs), this.#clocks.latest(process, atMs)]
  }
}
