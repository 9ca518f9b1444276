// What a process saw, a line of JSON for each thing, written at once so that it is there when the process is killed.
import { openSync, writeSync } from 'node:fs'

/** The clock that all processes of a machine share, in milliseconds. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/** @param {string} file */
export function recorder(file) {
  const descriptor = openSync(file, 'a')
  /** @param {object} record */
  return record => void writeSync(descriptor, `${JSON.stringify(record)}\n`)
}

/** What nobody handled is a crash, as it is by Node's default. @param {(record: object) => void} write */
export function recordCrashes(write) {
  /** @param {unknown} error */
  const crash = error => {
    write({ event: 'crash', atMs: now(), message: String(error instanceof Error ? error.stack : error) })
    process.exit(70)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
}
