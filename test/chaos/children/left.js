// Notes what a process has that outlives a client: its timers, also those that do not keep it alive, its sockets and its listeners.
// It is loaded before the library, which takes its timers from Node when it is loaded.
import { syncBuiltinESMExports } from 'node:module'
import process from 'node:process'
import timers from 'node:timers'
import { promisify } from 'node:util'

/** Timers that have neither fired nor been cancelled, with where they were made. @type {Map<object, Error>} */
const open = new Map()
const { setTimeout, clearTimeout, setInterval, clearInterval } = timers

/** @type {any} */
const notedTimeout = (/** @type {(...args: unknown[]) => void} */ run, /** @type {unknown[]} */ ...rest) => {
  const timer = Reflect.apply(setTimeout, undefined, [
    (/** @type {unknown[]} */ ...args) => {
      open.delete(timer)
      run(...args)
    },
    ...rest,
  ])
  open.set(timer, new Error('a timer'))
  return timer
}
notedTimeout[promisify.custom] = /** @type {any} */ (setTimeout)[promisify.custom]

/** @type {any} */
const notedInterval = (/** @type {unknown[]} */ ...args) => {
  const timer = Reflect.apply(setInterval, undefined, args)
  open.set(timer, new Error('an interval'))
  return timer
}

const clears = (/** @type {(timer: any) => void} */ clear) => (/** @type {any} */ timer) => {
  open.delete(timer)
  clear(timer)
}

const noted = {
  setTimeout: notedTimeout,
  setInterval: notedInterval,
  clearTimeout: clears(clearTimeout),
  clearInterval: clears(clearInterval),
}
Object.assign(timers, noted)
Object.assign(globalThis, noted)
syncBuiltinESMExports()

/** Of the process itself, by event. */
function listeners() {
  return new Map(process.eventNames().map(event => [String(event), process.listenerCount(event)]))
}

/** What keeps the process alive, apart from timers, which are noted above. */
function resources() {
  return process.getActiveResourcesInfo().filter(kind => kind !== 'Timeout')
}

/**
 * To be called before a client is opened.
 *
 * @returns tells, when all clients are closed, what is there that was not there before; nothing is right
 */
export function watchLeft() {
  const before = { listeners: listeners(), resources: resources(), timers: new Set(open.keys()) }
  return () => {
    const left = []
    for (const [timer, { stack }] of open) if (!before.timers.has(timer)) left.push(String(stack))
    for (const [event, count] of listeners()) {
      if (count > (before.listeners.get(event) ?? 0)) left.push(`a listener of the process, for ${event}`)
    }
    const known = [...before.resources]
    for (const kind of resources()) {
      const at = known.indexOf(kind)
      if (at < 0) left.push(`a ${kind}`)
      else known.splice(at, 1)
    }
    return left
  }
}
