/** Something in a history that no correct lock can have caused, or that keeps the history from showing anything. */
export interface Violation {
  /**
   * - `overlap`: an exclusive grant was valid together with another one
   * - `limit`: more shared grants were valid together than their limit allows, or they had different limits
   * - `fence`: a later grant had no higher fence than an earlier one
   * - `order`: a claim was granted after one that came when it waited already
   * - `wakeup`: the lock was free, and a claim that waited was not told for longer than it may take
   * - `impossible`: no order of the steps explains what all of them were answered
   * - `unknown`: whether such an order exists was not found out within the budget
   * - `repeated`: a run of a job was begun twice
   * - `uncovered`: a trigger was told of a run that had started before it came, was over by then, or never ended
   * - `unsettled`: a trigger was never told what became of it
   * - `arguments`: a trigger's arguments were not once, or not in their order, in the run that covers it
   * - `harmless`: a fault that was made did nothing
   * - `too-little`: less happened than the check was told to expect
   * - `malformed`: the history itself is no sequence of invoke, granted, end per claim
   */
  readonly kind:
    | 'overlap'
    | 'limit'
    | 'fence'
    | 'order'
    | 'wakeup'
    | 'impossible'
    | 'unknown'
    | 'repeated'
    | 'uncovered'
    | 'unsettled'
    | 'arguments'
    | 'harmless'
    | 'too-little'
    | 'malformed'
  /** The lock's name, or the job's; empty for what is of neither. */
  readonly name: string
  /** What happened, and who did it. */
  readonly message: string
}

export type Report = (kind: Violation['kind'], name: string, message: string) => void

/** What a history holds; a check of an empty one shows nothing, so assert these too. */
export interface HistoryCounts {
  readonly locks: number
  readonly invoked: number
  /** Claims that had to wait in the queue, as far as that was recorded. */
  readonly queued: number
  readonly granted: number
  /** Grants to claims that had waited. */
  readonly contended: number
  readonly refused: number
  readonly released: number
  readonly lost: number
  /** Grants without an end. */
  readonly unfinished: number
  /** The most grants of one lock that were valid together. */
  readonly mostTogether: number
  /** Overlaps, and fences that fell, that a recorded loss of the datastore explains. */
  readonly excused: number
  /** Triggers of jobs, and those of them that were accepted. */
  readonly triggers: number
  readonly accepted: number
  /** Accepted triggers that a run covered. */
  readonly covered: number
  /** Accepted triggers that were told of no run, by what they were told. */
  readonly told: Readonly<Record<string, number>>
  /** Runs that started, and those of them that ended while they were valid. */
  readonly runs: number
  readonly finished: number
  /** How many faults of each kind were made. */
  readonly faults: Readonly<Record<string, number>>
}
