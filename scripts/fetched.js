// Packages that the tests need besides the dependency tree, in a cache of their own that outlives a checkout.
import { spawnSync } from 'node:child_process'
import { copyFileSync, linkSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** @param {string[]} path */
export function cacheFolder(...path) {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'soloist', ...path)
}

/**
 * Fetches the newest versions there are of these packages into `node_modules` of a folder.
 *
 * @param {string} folder @param {string[]} packages such as `bullmq@5` @returns {boolean} whether that succeeded
 */
export function fetchPackages(folder, packages) {
  mkdirSync(folder, { recursive: true })
  const options = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--ignore-scripts']
  const { status } = spawnSync('npm', ['install', '--prefix', folder, ...options, ...packages], {
    stdio: ['ignore', 'inherit', 'inherit'],
    cwd: folder,
  })
  return status === 0
}

/** Fetches exactly what the `package-lock.json` of a folder names into `node_modules` there. @param {string} folder */
export function fetchLocked(folder) {
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    cwd: folder,
  })
  return status === 0
}

/**
 * Makes a folder like another one. Files are links to those, or copies where the file system is another one.
 *
 * @param {string} from @param {string} to
 */
export function linkTree(from, to) {
  mkdirSync(to)
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) linkTree(source, target)
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target)
    else linkFile(source, target)
  }
}

/** @param {string} source @param {string} target */
function linkFile(source, target) {
  try {
    linkSync(source, target)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EXDEV') throw error
    copyFileSync(source, target)
  }
}
