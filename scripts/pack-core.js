// Puts the modules that `soloist` loads at once into one file, `dist/core.js`, since many small files take time to find and to
// read (docs/decisions/one-body-two-faces.md). Where each of them was, a line hands on its part of that file: so whatever loads
// a module by its path, such as another subpath, gets the same one.
import { readFileSync, writeFileSync } from 'node:fs'
import { posix } from 'node:path'
import { absolute, relativeTo } from './checks/tree.js'

const CORE = 'dist/core.js'
/** What tsc makes of an import; one that is written as `require` in the source has other quotes, and is loaded later. */
const AT_ONCE = /^(?:(?:const|var) \w+ = )?require\("(\.[^"]+)"\);$/gm
const LATER = /\brequire\('\./

/** @param {string} from a file of dist @param {string} to what it requires */
const fileOf = (from, to) => posix.join(posix.dirname(from), to)

/** The files that loading this one loads, those first that others need. @param {string} file @param {Map<string, string>} found */
function loadedBy(file, found = new Map()) {
  const text = readFileSync(absolute(file), 'utf8')
  // A place in the order is taken when all that it needs is there: a circle would never get one.
  for (const [, to] of text.matchAll(AT_ONCE)) {
    const needed = fileOf(file, /** @type {string} */ (to))
    if (!found.has(needed)) loadedBy(needed, found)
  }
  found.set(file, text)
  return found
}

/**
 * Whether a module stays a file of its own: one that loads others later, since these need parts of the one file, which would
 * then need itself; and whoever needs such a module.
 *
 * @param {string} file @param {Map<string, string>} files @returns {boolean}
 */
function staysApart(file, files) {
  const text = /** @type {string} */ (files.get(file))
  if (text.search(LATER) >= 0) return true
  return [...text.matchAll(AT_ONCE)].some(([, to]) => staysApart(fileOf(file, /** @type {string} */ (to)), files))
}

/** @param {string} file @param {string} text @param {(needed: string) => string | null} as what stands for a file it needs */
const needing = (file, text, as) =>
  text.replace(AT_ONCE, (line, to) => line.replace(`require("${to}")`, as(fileOf(file, to)) ?? `require("${to}")`))

/** @param {string} entry the body of `soloist` */
export function packCore(entry) {
  const files = loadedBy(entry)
  const packed = new Set([...files.keys()].filter(file => !staysApart(file, files)))
  const parts = [...packed].map(file => {
    const text = /** @type {string} */ (files.get(file)).replace(/^"use strict";\n/, '')
    const body = needing(file, text, needed => `modules['${needed}']`)
    return `modules['${file}'] = (function (exports) {\n${body}\nreturn exports\n})({})\n`
  })
  writeFileSync(
    absolute(CORE),
    `"use strict";
// Made by scripts/pack-core.js of the files that it names.
const modules = {}
${parts.join('')}module.exports = modules\n`,
  )
  for (const [file, text] of files) {
    const core = `require("${relativeTo(file, CORE)}")`
    const handsOn = `"use strict";\nmodule.exports = ${core}['${file}'];\n`
    const apart = needing(file, text, needed => (packed.has(needed) ? `${core}['${needed}']` : null))
    writeFileSync(absolute(file), packed.has(file) ? handsOn : apart)
  }
}
