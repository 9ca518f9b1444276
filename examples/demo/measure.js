import { createHash } from 'node:crypto'
import { lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** @typedef {{ files: number, bytes: number, sha256: string }} Measure */

/** How much is read and hashed at once. Between two pieces the event loop gets to renew the lease. */
const PIECE_BYTES = 1 << 20

/**
 * The number of files of an installed package, their bytes, and one SHA-256 over the paths, sizes and contents of all of
 * them. Packages in its own `node_modules` are not part of it, and only regular files count.
 *
 * @param {string} folder
 * @param {object} [options]
 * @param {AbortSignal} [options.signal] stops it between two pieces
 * @param {(found: { files: number, bytes: number }) => void} [options.onListed] called before the contents are read
 * @returns {Promise<Measure>}
 */
export async function measure(folder, { signal, onListed } = {}) {
  const files = await listFiles(folder)
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  onListed?.({ files: files.length, bytes })
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafe(PIECE_BYTES)
  for (const file of files) {
    // The line before each file's content says where that content ends, so no two trees hash alike.
    hash.update(`${JSON.stringify([file.path, file.bytes])}\n`)
    const handle = await open(join(folder, file.path))
    try {
      for (;;) {
        signal?.throwIfAborted()
        const { bytesRead } = await handle.read(piece)
        if (bytesRead === 0) break
        hash.update(piece.subarray(0, bytesRead))
      }
    } finally {
      await handle.close()
    }
  }
  return { files: files.length, bytes, sha256: hash.digest('hex') }
}

/** The regular files of a package, in the order of their paths' code units. @param {string} folder */
async function listFiles(folder) {
  /** @type {{ path: string, bytes: number }[]} */
  const files = []
  const folders = ['']
  for (const inside of folders) {
    for (const entry of await readdir(join(folder, inside), { withFileTypes: true })) {
      const path = inside === '' ? entry.name : `${inside}/${entry.name}`
      if (entry.isDirectory() && path !== 'node_modules') folders.push(path)
      else if (entry.isFile()) files.push({ path, bytes: (await lstat(join(folder, path))).size })
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}
