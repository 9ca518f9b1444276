// Reads what a chaos run wrote, a file for each process and each lock or job, without holding it all.
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'

const CHUNK_BYTES = 256 * 1024
/** What concerns all locks and jobs: the faults that were made, and the answers that came too late for a process. */
const COMMON = /^faults\.jsonl$|\.late\.jsonl$/

/** @typedef {import('soloist/conformance').HistoryRecord} HistoryRecord */

/**
 * The history of a run by its locks and jobs.
 *
 * @param {string} folder
 * @returns {import('soloist/conformance').HistoryParts}
 */
export function historyParts(folder) {
  /** @type {Map<string, string[]>} */
  const parts = new Map()
  for (const file of filesOf(folder)) {
    if (COMMON.test(file)) continue
    // The process, a dot, and the lock or the job.
    const name = file.slice(file.indexOf('.'))
    parts.set(name, [...(parts.get(name) ?? []), join(folder, file)])
  }
  return {
    common: [...recordsOf(filesOf(folder).flatMap(file => (COMMON.test(file) ? [join(folder, file)] : [])))],
    parts: [...parts.values()].map(paths => () => recordsOf(paths)),
  }
}

/**
 * All of it, as one text; `null`: it is longer than that.
 *
 * @param {string} folder
 * @param {number} longestBytes
 */
export function wholeHistory(folder, longestBytes) {
  const paths = filesOf(folder).map(file => join(folder, file))
  const bytes = paths.reduce((sum, path) => sum + statSync(path).size, 0)
  return bytes > longestBytes ? null : paths.map(path => readFileSync(path, 'utf8')).join('')
}

/** @param {string} folder */
function filesOf(folder) {
  return readdirSync(folder)
    .filter(file => file.endsWith('.jsonl'))
    .sort()
}

/**
 * @param {readonly string[]} paths
 * @returns {Generator<HistoryRecord>}
 */
function* recordsOf(paths) {
  for (const path of paths) for (const line of linesOf(path)) yield JSON.parse(line)
}

/** @param {string} path */
function* linesOf(path) {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES)
    const decoder = new StringDecoder('utf8')
    let rest = ''
    for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer)) {
      const lines = (rest + decoder.write(buffer.subarray(0, read))).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
    if (rest !== '') yield rest
  } finally {
    closeSync(file)
  }
}
