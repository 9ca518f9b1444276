// Starts the instances, kills one in the middle of a run, and tells what each of them did.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** @param {string} file */
const path = file => fileURLToPath(new URL(file, import.meta.url))

/** The instances, and by how much their clocks are ahead. */
export const INSTANCES = [
  { name: 'one', offsetMs: 850 },
  { name: 'two', offsetMs: 0 },
  { name: 'three', offsetMs: -300 },
]
/** At both ends not all instances are up. */
const MARGIN_MS = 2_000

/**
 * @typedef {object} Line what an instance said
 * @property {string} instance
 * @property {'begin' | 'end' | 'outcome' | 'killed'} event
 * @property {number} tick
 * @property {number} fence
 * @property {string} [status]
 * @property {number} atMs when it was heard
 */

/**
 * @typedef {object} Story
 * @property {readonly Line[]} lines
 * @property {readonly number[]} ticks those that had to be run
 * @property {number} fromMs
 * @property {number} untilMs
 */

/** @param {string} url @param {number} seconds @returns {Promise<Story>} */
export async function run(url, seconds) {
  /** @type {Line[]} */
  const lines = []
  const children = INSTANCES.map(({ name, offsetMs }) => {
    const env = { ...process.env, CLOCK_OFFSET_MS: String(offsetMs) }
    const args = ['--require', path('clock.cjs'), path('instance.js'), url]
    const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.on('error', () => {}) // of one that was killed
    const output = createInterface({ input: child.stdout })
    output.on('line', text => {
      const line = JSON.parse(text)
      if (line.event !== 'ready') lines.push({ instance: name, ...line, atMs: Date.now() })
    })
    child.once('exit', (_, signal) => {
      if (signal === 'SIGKILL') lines.push({ instance: name, event: 'killed', tick: 0, fence: 0, atMs: Date.now() })
    })
    return { child, ready: once(output, 'line') }
  })
  try {
    await Promise.all(children.map(({ ready }) => ready))
    const fromMs = Date.now()
    await sleep((seconds * 1_000) / 2)
    // The one that comes first to every tick.
    children[0]?.child.stdin.write('die\n')
    await sleep((seconds * 1_000) / 2)
    const untilMs = Date.now()
    const alive = children.filter(({ child }) => child.exitCode === null && child.signalCode === null)
    const exits = alive.map(({ child }) => once(child, 'exit'))
    for (const { child } of alive) child.stdin.write('end\n')
    await Promise.all(exits)
    const ticks = []
    const first = Math.ceil((fromMs + MARGIN_MS) / 1_000) * 1_000
    for (let tick = first; tick <= untilMs - MARGIN_MS; tick += 1_000) ticks.push(tick)
    return { lines, ticks, fromMs, untilMs }
  } finally {
    for (const { child } of children) child.kill('SIGKILL')
  }
}

/**
 * What was wrong: ticks that were not run, or run twice although the first process did not die.
 *
 * @param {Story} story
 */
export function problemsOf({ lines, ticks }) {
  const dead = new Set(lines.filter(({ event }) => event === 'killed').map(({ instance }) => instance))
  return ticks.flatMap(tick => {
    const runs = lines.filter(line => line.event === 'begin' && line.tick === tick)
    const time = new Date(tick).toISOString().slice(11, 19)
    if (runs.length === 0) return [`the tick of ${time} was not run`]
    const [last, ...before] = runs.sort((a, b) => b.fence - a.fence)
    const unexpected = before.filter(({ instance }) => !dead.has(instance) || instance === last?.instance)
    return unexpected.length === 0 ? [] : [`the tick of ${time} was run ${runs.length} times`]
  })
}
