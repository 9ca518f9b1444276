import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The part of a `package-lock.json` (version 2 or 3) that is read here. Keys of `packages` are folders relative to the
 * project; `''` is the project itself.
 *
 * @typedef {object} LockEntry
 * @property {string} [name] given when the folder is called otherwise
 * @property {string} [version]
 * @property {boolean} [optional]
 * @property {boolean} [devOptional]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [devDependencies] of the project only
 * @property {Record<string, string>} [optionalDependencies]
 * @property {Record<string, string>} [peerDependencies]
 *
 * @typedef {{ packages: Record<string, LockEntry> }} Lockfile
 */

/** @typedef {{ path: string, name: string, version: string }} Package `path` is its folder, relative to the project */

/**
 * The installed packages, and who needs what: the keys of `dependencies` are the folders of all packages and of the
 * project (`''`), the values the folders of what each asks for itself.
 *
 * @typedef {object} Tree
 * @property {Package[]} packages
 * @property {string[]} skipped folders of optional packages that are not installed, as those for other platforms
 * @property {Map<string, Set<string>>} dependencies
 */

/**
 * One dependent asks for one package. `dependent` is a folder, `''` for the project.
 *
 * @typedef {{ id: number, package: string, dependent: string }} Request
 */

/** @param {string} projectFolder */
export function readTree(projectFolder) {
  /** @type {Lockfile} */
  const lockfile = JSON.parse(readFileSync(join(projectFolder, 'package-lock.json'), 'utf8'))
  return installedTree(lockfile, folder => existsSync(join(projectFolder, folder, 'package.json')))
}

/**
 * @param {Lockfile} lockfile
 * @param {(folder: string) => boolean} isInstalled
 * @returns {Tree}
 */
export function installedTree({ packages: entries }, isInstalled) {
  /** @type {Package[]} */
  const packages = []
  /** @type {string[]} */
  const skipped = []
  for (const [path, entry] of Object.entries(entries)) {
    if (path === '') continue
    if (isInstalled(path)) {
      packages.push({ path, name: entry.name ?? folderName(path), version: entry.version ?? '' })
    } else if (entry.optional || entry.devOptional) {
      skipped.push(path)
    } else {
      throw new Error(`${path} is in package-lock.json but not installed: run "npm ci"`)
    }
  }
  const installed = new Set(packages.map(({ path }) => path))
  const dependencies = new Map(
    ['', ...installed].map(path => {
      const found = askedFor(entries[path] ?? {}).map(name => resolve(entries, path, name))
      return [path, new Set(found.filter(folder => folder !== null && installed.has(folder)))]
    }),
  )
  return { packages, skipped, dependencies: /** @type {Map<string, Set<string>>} */ (dependencies) }
}

/**
 * Every package with every dependent that asks for it, directly or through others, as whoever adds up what a package
 * brings along would. What most dependents ask for comes first, and the requests for one package stand together.
 *
 * @param {Tree} tree
 * @returns {Request[]}
 */
export function requestsFor({ packages, dependencies }) {
  /** @type {Map<string, string[]>} */
  const dependents = new Map(packages.map(({ path }) => [path, []]))
  for (const dependent of dependencies.keys()) {
    for (const path of reachable(dependencies, dependent)) dependents.get(path)?.push(dependent)
  }
  return [...dependents]
    .sort(([a, askA], [b, askB]) => askB.length - askA.length || (a < b ? -1 : 1))
    .flatMap(([path, asking]) => asking.map(dependent => ({ package: path, dependent })))
    .map((request, id) => ({ id, ...request }))
}

/**
 * Deals the requests out one by one, so that the requests for one package go to different workers.
 *
 * @param {readonly Request[]} requests
 * @param {number} workers
 */
export function deal(requests, workers) {
  return Array.from({ length: workers }, (_, worker) => requests.filter((_, index) => index % workers === worker))
}

/** The folder Node finds `name` in when a file of `from` imports it; `null` when it is nowhere.
 *
 * @param {Lockfile['packages']} entries
 * @param {string} from
 * @param {string} name
 */
function resolve(entries, from, name) {
  for (let folder = from; ; folder = enclosing(folder)) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`
    if (Object.hasOwn(entries, path)) return path
    if (folder === '') return null
  }
}

/** The package whose `node_modules` holds this folder, `''` for the project's. @param {string} folder */
function enclosing(folder) {
  return folder.slice(0, Math.max(0, `/${folder}`.lastIndexOf('/node_modules/') - 1))
}

/** @param {string} folder */
function folderName(folder) {
  return folder.slice(`/${folder}`.lastIndexOf('/node_modules/') + 'node_modules/'.length)
}

/** @param {LockEntry} entry */
function askedFor({ dependencies, devDependencies, optionalDependencies, peerDependencies }) {
  return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies })
}

/** Everything one dependent needs, itself left out. Peers may need each other. @param {Map<string, Set<string>>} dependencies @param {string} start */
function reachable(dependencies, start) {
  const seen = new Set([start])
  for (const folder of seen) {
    for (const next of dependencies.get(folder) ?? []) seen.add(next)
  }
  seen.delete(start)
  return seen
}
