// Puts the modules that `soloist` loads at once into one file, `dist/core.js`, since many small files take time to find and to
// read (docs/decisions/one-body-two-faces.md). Where each of them was, a line hands on its part of that file: so whatever loads
// a module by its path, such as another subpath, gets the same one.
import { readFileSync, writeFileSync } from 'node:fs'
import { posix } from 'node:path'
import { absolute } from './checks/tree.js'

const CORE = 'dist/core.js'
/** What tsc makes of an import; one that is written as `require` in the source has other quotes, and is loaded later. */
const AT_ONCE = /^(?:(?:const|var) \w+ = )?require\("(\.[^"]+)"\);$/gm
const LATER = /\brequire\('(\.[^']+)'\)/g

/** @param {string} from a file of dist @param {string} to what it requires */
const fileOf = (from, to) => posix.join(posix.dirname(from), to)

/** @param {string} file of dist */
function relative(file) {
  const path = posix.relative('dist', file)
  return path.startsWith('.') ? path : `./${path}`
}

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

/** @param {string} file its body @param {string} text */
function partFor(file, text) {
  const body = text
    .replace(/^"use strict";\n/, '')
    .replace(AT_ONCE, (line, to) => line.replace(`require("${to}")`, `modules['${fileOf(file, to)}']`))
    .replace(LATER, (_, to) => `require('${relative(fileOf(file, to))}')`)
  return `modules['${file}'] = (function (exports) {\n${body}\nreturn exports\n})({})\n`
}

/** @param {string} entry the body of `soloist`, which only names what others export */
export function packCore(entry) {
  const files = loadedBy(entry)
  const named = /** @type {string} */ (files.get(entry))
  files.delete(entry)
  const parts = [...files].map(([file, text]) => partFor(file, text))
  writeFileSync(
    absolute(CORE),
    `"use strict";
// Made by scripts/pack-core.js of the files that it names.
const modules = {}
${parts.join('')}module.exports = modules\n`,
  )
  const core = named.replace(AT_ONCE, (line, to) =>
    line.replace(`require("${to}")`, `require("./core.js")['${fileOf(entry, to)}']`),
  )
  writeFileSync(absolute(entry), core)
  for (const file of files.keys()) {
    const path = posix.relative(posix.dirname(file), CORE)
    const from = path.startsWith('.') ? path : `./${path}`
    writeFileSync(absolute(file), `"use strict";\nmodule.exports = require("${from}")['${file}'];\n`)
  }
}
