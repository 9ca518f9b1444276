import { openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/**
 * What happened to one request, or to a worker as a whole (`kill`, `killed`), in the words of the journal:
 *
 * `asked` · `waiting` (somebody else has the lock) · `granted` · `measuring` (the files are listed, now they are read) ·
 * `kept` (the result is written) · `reused` (a kept result was found, before the lock or under it) · `releasing` ·
 * `released` · `lost` (the lease had run out, and the request is asked again) · `served`. Written by the parent: `kill`, right before the signal, and `killed`, once the worker is gone.
 *
 * @typedef {'asked' | 'waiting' | 'granted' | 'measuring' | 'kept' | 'reused' | 'releasing' | 'released' | 'lost' | 'served'
 *   | 'kill' | 'killed'} Step
 *
 * @typedef {object} Event
 * @property {number} t milliseconds on the machine's monotonic clock, the same for every process
 * @property {string} worker
 * @property {Step} step
 * @property {number} [request] its id
 * @property {string} [package] its folder
 * @property {number} [fence] of the lock that is held, from `granted` to `released`
 * @property {number} [files] with `measuring`
 * @property {number} [bytes] with `measuring`
 * @property {number} [until] with `lost`: until when the lease was valid, on the clock of `t`
 */

/** Milliseconds on the machine's monotonic clock, whose zero is the same for every process of the machine. */
export function nowMs() {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

/** The events of one process, one JSON line each, in a file of its own. */
export class Journal {
  #file
  #writer
  #onEvent

  /**
   * @param {string} runFolder
   * @param {string} writer names the file
   * @param {(event: Event) => void} onEvent called after an event is in the file
   */
  constructor(runFolder, writer, onEvent) {
    this.#file = openSync(journalFile(runFolder, writer), 'a')
    this.#writer = writer
    this.#onEvent = onEvent
  }

  /**
   * Notes a step. It is in the file before anybody is told, so that a SIGKILL right after leaves it there.
   *
   * @param {Step} step
   * @param {Partial<Event>} [details]
   */
  note(step, details) {
    const event = { t: nowMs(), worker: this.#writer, step, ...details }
    writeSync(this.#file, `${JSON.stringify(event)}\n`)
    this.#onEvent(event)
    return event
  }
}

/** @param {string} runFolder @param {string} writer @returns {Event[]} */
export function readJournal(runFolder, writer) {
  const lines = readFileSync(journalFile(runFolder, writer), 'utf8').split('\n')
  return lines.filter(line => line !== '').map(line => JSON.parse(line))
}

/** @param {string} runFolder @param {string} writer */
function journalFile(runFolder, writer) {
  return join(runFolder, `events-${writer}.jsonl`)
}
