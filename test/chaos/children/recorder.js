// Writes down what a process sees, each line before the act it tells of, so that what is left by SIGKILL is an act without an
// answer. Each lock and each job has a file of its own, so that a long history can be judged one after the other.
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'

/**
 * @param {string} log what the names of the files start with
 * @returns {(record: { readonly name: string }) => void}
 */
export function recorder(log) {
  /** @type {Map<string, number>} */
  const files = new Map()
  return record => {
    let file = files.get(record.name)
    if (file === undefined) {
      file = openSync(`${log}.${record.name.replaceAll(' ', '-').replace(/[()]/g, '')}.jsonl`, 'a')
      files.set(record.name, file)
    }
    writeSync(file, `${JSON.stringify(record)}\n`)
  }
}

/** Milliseconds on a clock that all processes of the machine share and that never steps. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * Numbers from 0 to below 1, the same for the same seed.
 *
 * @param {number} seed
 */
export function randomOf(seed) {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
