// Packages that the tests need besides the dependency tree, in a cache of their own that outlives a checkout.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
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
