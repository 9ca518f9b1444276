import { clearLine, cursorTo } from 'node:readline'
import { seconds } from './report.js'

const REDRAW_MS = 100
const LINE_MS = 1_000

/** Shows a run while it goes on: one line that is redrawn on a terminal, elsewhere a line a second. */
export class Progress {
  #out
  #deliveries
  #sender
  #startMs = 0
  #runs = 0
  #running = 0
  /** Accounts whose sync was interrupted. @type {Map<string, number>} */
  #interrupted = new Map()
  /** @type {NodeJS.Timeout | undefined} */
  #timer

  /** @param {NodeJS.WriteStream} out @param {number} deliveries @param {import('./sender.js').Sender} sender */
  constructor(out, deliveries, sender) {
    this.#out = out
    this.#deliveries = deliveries
    this.#sender = sender
  }

  start() {
    this.#startMs = performance.now()
    this.#timer = setInterval(() => this.#show(), this.#out.isTTY ? REDRAW_MS : LINE_MS)
  }

  /** Leaves the last state on the screen. Safe to call twice. */
  stop() {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#show()
    if (this.#out.isTTY) this.#out.write('\n')
  }

  /** @param {import('./process.js').Told} told */
  told(told) {
    if (told.step === 'ready') return
    this.#running += told.step === 'start' ? 1 : -1
    if (told.step === 'start') this.#runs += 1
    const sinceMs = this.#interrupted.get(told.account)
    if (told.step !== 'end' || sinceMs === undefined) return
    this.#interrupted.delete(told.account)
    this.say(`${told.account} is synced, ${seconds(performance.now() - sinceMs)} after the kill`)
  }

  /** @param {string} worker @param {string[]} accounts those it was syncing */
  killed(worker, accounts) {
    this.#running -= accounts.length
    for (const account of accounts) this.#interrupted.set(account, performance.now())
    this.say(`${worker} is killed while it syncs ${accounts.length === 0 ? 'nothing' : accounts.join(', ')}`)
  }

  /** Something that happens once. @param {string} text */
  say(text) {
    this.#clear()
    this.#out.write(`${this.#clock()}  ${text}\n`)
  }

  #show() {
    const { requests, answered } = this.#sender
    const now = `${this.#runs} runs, ${Math.max(this.#running, 0)} of them now`
    this.#clear()
    const line = `${this.#clock()}  ${this.#deliveries} deliveries: ${requests} requests, ${answered} answered, ${now}`
    this.#out.write(this.#out.isTTY ? line : `${line}\n`)
  }

  #clear() {
    if (!this.#out.isTTY) return
    clearLine(this.#out, 0)
    cursorTo(this.#out, 0)
  }

  #clock() {
    return seconds(performance.now() - this.#startMs).padStart(6)
  }
}
