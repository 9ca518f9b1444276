/** What a job that was taken up is to be run with, see `scripts/fetch.lua`. */
export interface Taken {
  /** Rises with each run of a key; `null` for a job that is not to be run. */
  readonly fence: number | null
  /** What was left with it, as JSON, in its order. */
  readonly notes: readonly string[]
  /** What becomes of it instead of a run. */
  readonly instead: 'drop' | 'fail' | 'replaced' | null
  /** Who is the reason for that. */
  readonly by: string
  /** When the call that took it up was sent, on the monotonic clock: BullMQ's lock of the job is as old at most. */
  readonly sentAtMs: number
}

/** @param fields of the job, names and values by turns; ours are the last */
export function takenFrom(fields: readonly string[], sentAtMs: number): Taken {
  let [fence, notes, instead, by]: [number | null, readonly string[], Taken['instead'], string] = [null, [], null, '']
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    const value = fields[i + 1] as string
    switch (fields[i]) {
      case 'slfence':
        fence = Number(value)
        break
      case 'slnotes':
        notes = JSON.parse(value) as string[]
        break
      case 'slthen':
        instead = value as Taken['instead']
        break
      case 'slowner':
        by = value
        break
      default:
        return { fence, notes, instead, by, sentAtMs }
    }
  }
  return { fence, notes, instead, by, sentAtMs }
}
