import type { Note, PendingRun, TriggerStep } from '../../backend.js'
import type { Waiting } from './lock.js'

/** The run that is to come, and has not begun. */
interface Pending {
  readonly owner: string
  /** What was left with it, by who left it, in the order it came. */
  readonly notes: Map<string, string>
  readonly firstMs: number
  readonly notBeforeMs: number | null
}

type Debounce = TriggerStep['debounce']

/** Of one lock: its pending run, and what was noted for the runs that have begun and not ended. */
export class PendingRuns {
  #pending: Pending | null = null
  readonly #begun = new Map<string, readonly Note[]>()
  /** Those of them that have not begun by a word of their owners. */
  readonly #unasked = new Set<string>()

  get pending(): Pending | null {
    return this.#pending
  }

  shown(): PendingRun | null {
    if (this.#pending === null) return null
    const { owner, notes, notBeforeMs } = this.#pending
    return { owner, notes: notes.size, notBeforeMs }
  }

  /** A claim becomes the pending run. */
  become(owner: string, note: string | null, debounce: Debounce, nowMs: number): void {
    this.#pending = { owner, notes: only(owner, note), firstMs: nowMs, notBeforeMs: due(debounce, nowMs, nowMs) }
  }

  /** A trigger adds to the pending run. One that was granted is not put off any more: it is given no debounce. */
  add(owner: string, note: string | null, debounce: Debounce, nowMs: number): void {
    const pending = this.#pending as Pending
    if (note !== null) pending.notes.set(owner, note)
    this.#pending = { ...pending, notBeforeMs: due(debounce, pending.firstMs, nowMs) ?? pending.notBeforeMs }
  }

  /** A trigger takes the place of the pending run. */
  displace(owner: string, note: string | null, debounce: Debounce, nowMs: number): void {
    const { firstMs, notBeforeMs } = this.#pending as Pending
    const dueMs = due(debounce, firstMs, nowMs) ?? notBeforeMs
    this.#pending = { owner, notes: only(owner, note), firstMs, notBeforeMs: dueMs }
  }

  /** A run that was granted is not put off any more. */
  granted(owner: string): void {
    if (this.#pending?.owner === owner) this.#pending = { ...this.#pending, notBeforeMs: null }
  }

  /** A run begins, or did before. @returns what was left with it */
  begin(owner: string): readonly Note[] {
    if (this.#pending?.owner === owner) {
      this.#begun.set(owner, listed(this.#pending.notes))
      this.#pending = null
    }
    this.#unasked.delete(owner)
    return this.#begun.get(owner) ?? []
  }

  /** Whether nobody can add to a run that has not begun by a word of its owner, nor take its place. */
  isClosed(owner: string): boolean {
    return this.#unasked.has(owner)
  }

  /**
   * A trigger takes back what it left with a run, which is closed by that.
   *
   * @param waiting what is known of the run if it waits
   * @returns its note where the run's owner was told of it
   */
  takeBack(run: string, owner: string, waiting: Pick<Waiting, 'begins' | 'note'> | undefined): readonly Note[] {
    if (this.#pending?.owner === run) {
      this.begin(run)
      this.#unasked.add(run)
    } else if (waiting?.begins && !this.#unasked.has(run)) {
      this.beginAlone(run, waiting.note)
      this.#unasked.add(run)
    }
    const notes = this.#begun.get(run) ?? []
    if (!this.#unasked.has(run)) return notes.filter(note => note.owner === owner)
    this.#begun.set(
      run,
      notes.filter(note => note.owner !== owner),
    )
    return []
  }

  /** A claim was granted while another run is pending: nobody can add to its run, which is told its own note. */
  beginAlone(owner: string, note: string | null): void {
    this.#begun.set(owner, listed(only(owner, note)))
  }

  /** The run with which this trigger left its note; `null`: none that has not ended. */
  notedWith(owner: string): string | null {
    if (this.#pending?.notes.has(owner)) return this.#pending.owner
    for (const [run, notes] of this.#begun) if (notes.some(note => note.owner === owner)) return run
    return null
  }

  /** The run neither holds nor waits any more. @returns whether it had not begun, and others left something with it or took it back */
  forget(owner: string): boolean {
    const unasked = this.#unasked.delete(owner)
    this.#begun.delete(owner)
    if (this.#pending?.owner !== owner) return unasked
    const { notes } = this.#pending
    this.#pending = null
    return notes.size > (notes.has(owner) ? 1 : 0)
  }
}

function only(owner: string, note: string | null): Map<string, string> {
  return new Map(note === null ? [] : [[owner, note]])
}

function listed(notes: ReadonlyMap<string, string>): readonly Note[] {
  return [...notes].map(([owner, text]) => ({ owner, text }))
}

function due(debounce: Debounce, firstMs: number, nowMs: number): number | null {
  return debounce === null ? null : Math.min(nowMs + debounce.waitMs, firstMs + debounce.maxWaitMs)
}
