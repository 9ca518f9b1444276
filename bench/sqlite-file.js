import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A file of this run alone. */
export function sqliteFile() {
  const file = join(tmpdir(), `soloist-bench-${process.pid}.db`)
  return {
    url: `sqlite:${file}`,
    remove: () => Promise.all(['', '-wal', '-shm'].map(end => rm(file + end, { force: true }))),
  }
}
