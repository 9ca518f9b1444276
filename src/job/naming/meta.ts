import { hostname } from 'node:os'

/** What a claim of a job tells operators. */
export interface JobMeta {
  /** The machine of the process that runs it, or that is to. */
  readonly host: string
  readonly pid: number
  /** What `describe` made of its arguments; absent without one. */
  readonly description?: string
  /** The lock is kept for a period (`untilExpired`), whether or not the run has ended. */
  readonly period?: true
}

const LONGEST_HOST = 100
let here: string | null = null

/** The `meta` of a claim that this process makes. */
export function jobMeta(description: string | null, period: boolean): string {
  here ??= JSON.stringify({ host: hostname().slice(0, LONGEST_HOST), pid: process.pid }).slice(0, -1)
  const about = description === null ? '' : `,"description":${JSON.stringify(description)}`
  return `${here}${about}${period ? ',"period":true' : ''}}`
}

/** What a claim's `meta` tells of a run; `null` for any other text, such as what a job of BullMQ has there. */
export function parseJobMeta(meta: string | null): JobMeta | null {
  if (meta === null || !meta.startsWith('{"host":')) return null
  let data: unknown
  try {
    data = JSON.parse(meta)
  } catch {
    // Written by something else than this module.
    return null
  }
  const { host, pid, description, period } = data as Readonly<Record<string, unknown>>
  if (typeof host !== 'string' || typeof pid !== 'number') return null
  return {
    host,
    pid,
    ...(typeof description === 'string' ? { description } : {}),
    ...(period === true ? { period } : {}),
  }
}
