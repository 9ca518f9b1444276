// The repository as the checks see it. Paths are relative to its root, with forward slashes.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)

/** @param {string} path */
export const absolute = path => fileURLToPath(new URL(path, root))

/** @param {string} path */
export const exists = path => existsSync(new URL(path, root))

/** @param {string} path */
export const read = path => readFileSync(new URL(path, root), 'utf8')

/** All files below a folder, or none if it is not there. @param {string} folder @returns {string[]} */
export function filesBelow(folder) {
  if (!exists(folder)) return []
  return readdirSync(new URL(`${folder}/`, root), { withFileTypes: true }).flatMap(entry => {
    const path = `${folder}/${entry.name}`
    return entry.isDirectory() ? filesBelow(path) : [path]
  })
}

/** The names of the folders right below a folder. @param {string} folder */
export function foldersIn(folder) {
  const entries = readdirSync(new URL(`${folder}/`, root), { withFileTypes: true })
  return entries.filter(entry => entry.isDirectory()).map(entry => entry.name)
}

/** How one file names another that it loads. @param {string} from @param {string} to */
export function relativeTo(from, to) {
  const path = posix.relative(posix.dirname(from), to)
  return path.startsWith('.') ? path : `./${path}`
}

/** @typedef {{ types: string, default: string }} Target */
/**
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} main
 * @property {string} types
 * @property {string[]} files
 * @property {Record<string, string>} bin
 * @property {Record<string, string | { import: Target, require: Target }>} exports
 * @property {{ '*': Record<string, string[]> }} typesVersions
 * @property {Record<string, string>} dependencies
 * @property {Record<string, string>} peerDependencies
 */

/** @type {Manifest} */
export const manifest = JSON.parse(read('package.json'))

/** @param {string} path one of package.json */
export const withoutDot = path => path.replace(/^\.\//, '')

/** @param {Target} target */
const files = target => ({ types: withoutDot(target.types), code: withoutDot(target.default) })

/**
 * The subpaths with code behind them: what is imported, the CommonJS it stands for, and what `import` gets of that.
 */
export const subpaths = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
  typeof target === 'string'
    ? []
    : [
        {
          subpath: withoutDot(subpath),
          specifier: manifest.name + subpath.slice(1),
          body: files(target.require),
          face: files(target.import),
        },
      ],
)
