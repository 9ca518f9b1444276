import { clearScreenDown, moveCursor } from 'node:readline'
import { counted, duration, shortPath, size } from './format.js'

/**
 * @typedef {import('./crew.js').Member} Member
 * @typedef {import('./journal.js').Event} Event
 */

const REDRAW_MS = 80
const LINE_MS = 1_000
const BAR_WIDTH = 20

/**
 * Shows a run while it goes on: redrawn in place on a terminal; elsewhere a line a second, and one for a kill and its
 * takeover each.
 */
export class Progress {
  #out
  #requests
  #startedAt = performance.now()
  /** What each worker does now, in words. @type {Map<string, string>} */
  #doing = new Map()
  #counts = { served: 0, runs: 0, reused: 0, waiting: new Set() }
  /** @type {Event | null} */
  #killed = null
  #linesDrawn = 0
  /** @type {NodeJS.Timeout | undefined} */
  #timer

  /** @param {NodeJS.WriteStream} out @param {number} requests how many there are */
  constructor(out, requests) {
    this.#out = out
    this.#requests = requests
  }

  start() {
    const terminal = this.#out.isTTY
    if (terminal) this.#out.write('\x1b[?25l')
    this.#timer = setInterval(() => (terminal ? this.#redraw() : this.#line()), terminal ? REDRAW_MS : LINE_MS)
  }

  /** Leaves the last state on the screen. */
  stop() {
    clearInterval(this.#timer)
    if (this.#out.isTTY) {
      this.#redraw()
      this.#out.write('\x1b[?25h')
    } else {
      this.#line()
    }
  }

  /** @param {Event} event @param {Member} member */
  show(event, member) {
    this.#count(event)
    const words = this.#words(event, member)
    if (words !== null) this.#doing.set(member.name, words)
    if (event.step === 'killed') {
      this.#killed = event
      this.#say(`worker ${event.worker} ${words}`)
    } else if (event.step === 'granted' && event.package === this.#killed?.package) {
      if (this.#killed?.worker !== event.worker) this.#say(`worker ${event.worker} takes over ${this.#grant(event)}`)
      this.#killed = null
    }
  }

  /** @param {Event} event */
  #count({ step, worker }) {
    if (step === 'served') this.#counts.served += 1
    if (step === 'kept') this.#counts.runs += 1
    if (step === 'reused') this.#counts.reused += 1
    if (step === 'waiting') this.#counts.waiting.add(worker)
    if (step === 'granted' || step === 'killed') this.#counts.waiting.delete(worker)
  }

  /** What a worker does from this step on; `null`: as before. @param {Event} event @param {Member} member */
  #words(event, { requests }) {
    const name = shortPath(event.package ?? '')
    switch (event.step) {
      case 'asked':
        return `asks for ${name}`
      case 'waiting':
        return `waits for ${name}`
      case 'granted':
        return `has ${this.#grant(event)}`
      case 'measuring':
        return `measures ${name}: ${event.files} files, ${size(event.bytes ?? 0)}`
      case 'lost':
        return `lost ${this.#grant(event)}, which it held for longer than its ttl without a word to the store`
      case 'killed':
        return event.package === undefined
          ? 'was killed without a lock in its hands'
          : `was killed while it held ${name}: the lock stays until its ttl has passed`
      case 'served':
        return event.request === requests.at(-1)?.id ? `has served its ${counted(requests.length, 'request')}` : null
      default:
        return null
    }
  }

  /** @param {Event} event */
  #grant({ package: path = '', fence }) {
    return `${shortPath(path)} (fence ${fence})`
  }

  /** A line that stays, where the rest is not redrawn anyway. @param {string} line */
  #say(line) {
    if (!this.#out.isTTY) this.#out.write(`${line}\n`)
  }

  #line() {
    this.#out.write(`${this.#summary()}\n`)
  }

  #summary() {
    const { served, runs, reused, waiting } = this.#counts
    const time = duration(performance.now() - this.#startedAt)
    return `${served}/${this.#requests} requests served · ${runs} measured · ${reused} reused · ${waiting.size} waiting · ${time}`
  }

  #redraw() {
    const done = Math.round((this.#counts.served / this.#requests) * BAR_WIDTH)
    const lines = [
      `${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)} ${this.#summary()}`,
      ...[...this.#doing]
        .sort(([a], [b]) => Number(a) - Number(b))
        .map(([name, words]) => `  worker ${name}  ${words}`),
    ]
    const width = this.#out.columns || 80
    moveCursor(this.#out, 0, -this.#linesDrawn)
    clearScreenDown(this.#out)
    this.#out.write(lines.map(line => `${line.length < width ? line : `${line.slice(0, width - 2)}…`}\n`).join(''))
    this.#linesDrawn = lines.length
  }
}
