// Makes the package of what tsc wrote to dist, where all code is CommonJS (docs/decisions/one-body-two-faces.md):
// - `dist/package.json` says that it is;
// - modules of Node.js come from `process.getBuiltinModule`, and BullMQ from where optional peers are loaded, since a bundle
//   that is an ES module may have no `require`;
// - what `soloist` loads at once is one file (scripts/pack-core.js);
// - each subpath gets its face for `import`: `index.mjs` with the names that `index.js` exports, and `index.d.mts`.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { absolute, filesBelow, relativeTo, subpaths } from './checks/tree.js'
import { packCore } from './pack-core.js'

const PEERS = 'dist/internal/peers'
const require = createRequire(import.meta.url)

/** @param {string} file @param {string} text what tsc wrote */
function withoutRequire(file, text) {
  const builtins = text.replace(/\brequire\("(node:[^"]+)"\)/g, 'process.getBuiltinModule("$1")')
  if (file.startsWith(`${PEERS}/`)) return builtins
  return builtins.replace(/\brequire\("bullmq"\)/g, `require("${relativeTo(file, `${PEERS}/bullmq.js`)}").loadBullmq()`)
}

/** @param {string} body the code behind a subpath @param {string} face */
function faceFor(body, face) {
  const names = Object.keys(require(absolute(body))).sort()
  // First comes what tells the body from where to load peers.
  return `import '${relativeTo(face, `${PEERS}/base.mjs`)}'
export { ${names.join(', ')} } from '${relativeTo(face, body)}'
`
}

copyFileSync(absolute('src/package.json'), absolute('dist/package.json'))
for (const file of filesBelow('dist').filter(path => path.endsWith('.js'))) {
  const text = readFileSync(absolute(file), 'utf8')
  const changed = withoutRequire(file, text)
  if (changed !== text) writeFileSync(absolute(file), changed)
}
packCore('dist/index.js')
for (const { body, face } of subpaths) {
  writeFileSync(absolute(face.code), faceFor(body.code, face.code))
  writeFileSync(absolute(face.types), `export * from '${relativeTo(face.types, body.code)}'\n`)
}
