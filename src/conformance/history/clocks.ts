import type { ClockRecord, HistoryRecord } from './records.js'

/** Maps the clocks of processes onto the shared scale. */
export class Clocks {
  readonly #readings = new Map<string, ClockRecord[]>()

  constructor(records: Iterable<HistoryRecord>) {
    for (const record of records) {
      if (record.event !== 'clock') continue
      const readings = this.#readings.get(record.process)
      if (readings === undefined) this.#readings.set(record.process, [record])
      else readings.push(record)
    }
    for (const readings of this.#readings.values()) readings.sort((a, b) => a.atMs - b.atMs)
  }

  /** Not after this the moment was. */
  latest(process: string | null, atMs: number): number {
    const { lineMs, errorMs } = this.#mapped(process, atMs)
    return lineMs + errorMs
  }

  /** Not before this the moment was. */
  earliest(process: string | null, atMs: number): number {
    const { lineMs, errorMs } = this.#mapped(process, atMs)
    return lineMs - errorMs
  }

  #mapped(process: string | null, atMs: number): { readonly lineMs: number; readonly errorMs: number } {
    const readings = process === null ? undefined : this.#readings.get(process)
    if (readings === undefined) return { lineMs: atMs, errorMs: 0 }
    const next = readings.findIndex(reading => reading.atMs > atMs)
    const before = readings[next < 0 ? readings.length - 1 : next - 1]
    const after = next < 0 ? undefined : readings[next]
    const near = before ?? after
    if (near === undefined) return { lineMs: atMs, errorMs: 0 }
    const speed =
      before === undefined || after === undefined ? 1 : (after.lineMs - before.lineMs) / (after.atMs - before.atMs)
    const errorMs = Math.max(before?.errorMs ?? 0, after?.errorMs ?? 0)
    return { lineMs: near.lineMs + (atMs - near.atMs) * speed, errorMs }
  }
}
