import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** @typedef {import('./measure.js').Measure & { package: string, worker: string, fence: number }} Kept */

/** The kept result of a package, or `null`. @param {string} runFolder @param {string} path @returns {Kept | null} */
export function findKept(runFolder, path) {
  try {
    return JSON.parse(readFileSync(resultFile(runFolder, path), 'utf8'))
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null
    throw error
  }
}

/** Keeps a result: whoever looks sees all of it or nothing. @param {string} runFolder @param {Kept} result */
export function keep(runFolder, result) {
  const file = resultFile(runFolder, result.package)
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, JSON.stringify(result))
  renameSync(draft, file)
}

/** @param {string} runFolder @param {string} path */
function resultFile(runFolder, path) {
  return join(runFolder, 'results', `${encodeURIComponent(path)}.json`)
}
