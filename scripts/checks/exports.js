// package.json ↔ dist ↔ src: everything promised is there, `import` and `require` get the same, nothing in dist is left over
// from a source that is gone, and nothing in it loads what a bundle may not have.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { absolute, exists, filesBelow, manifest, read, subpaths, withoutDot } from './tree.js'

const PEERS = 'dist/internal/peers/'
const require = createRequire(import.meta.url)

/** @param {string} built */
const sourceOf = built => built.replace(/^dist\//, 'src/').replace(/(?:\.d)?\.(m?)[jt]s$/, '.$1ts')

/** What only the build makes. */
const made = new Set(['dist/package.json', 'dist/core.js', ...subpaths.flatMap(({ face }) => [face.code, face.types])])

function problemsOfFiles() {
  const problems = []
  for (const { specifier, body, face } of subpaths) {
    for (const file of [body.code, body.types, face.code, face.types]) {
      if (!exists(file))
        problems.push(`package.json: "${specifier}" stands for ${file}, which is not there: correct "exports"`)
    }
    const sources = new Set([body.code, body.types, face.code, face.types].map(file => file.replace(/\.[^/]*$/, '')))
    if (sources.size > 1) {
      problems.push(`package.json: the types and the code of "${specifier}" come from different sources`)
    }
  }
  for (const [command, file] of Object.entries(manifest.bin)) {
    if (!exists(file)) problems.push(`package.json: the command "${command}" stands for ${file}, which is not there`)
  }
  for (const path of manifest.files) {
    if (!exists(path)) problems.push(`package.json: "files" names ${path}, which is not there`)
  }
  for (const built of filesBelow('dist')) {
    if (!made.has(built) && !exists(sourceOf(built)))
      problems.push(`${built}: has no source ${sourceOf(built)}: remove dist and build again`)
  }
  return problems
}

/** TypeScript that knows no "exports" finds the same types. */
function problemsOfOlderResolution() {
  const found = new Map(
    Object.entries(manifest.typesVersions['*']).map(([name, paths]) => [name, paths.map(withoutDot)]),
  )
  const problems = []
  for (const { subpath, specifier, body } of subpaths) {
    const paths = subpath === '.' ? [withoutDot(manifest.types)] : (found.get(subpath) ?? [])
    if (paths.length !== 1 || paths[0] !== body.types) {
      problems.push(`package.json: "${specifier}" is ${body.types} in "exports", and ${paths} for older resolution`)
    }
  }
  if (withoutDot(manifest.main) !== subpaths.find(({ subpath }) => subpath === '.')?.body.code) {
    problems.push('package.json: "main" is not what "exports" has for require')
  }
  return problems
}

/** `import` gets the names of the body, and their very values. */
async function problemsOfFaces() {
  const problems = []
  for (const { specifier, body, face } of subpaths) {
    const values = require(absolute(body.code))
    const faced = await import(pathToFileURL(absolute(face.code)).href)
    for (const name of new Set([...Object.keys(values), ...Object.keys(faced)])) {
      if (values[name] !== faced[name] || !(name in faced)) {
        problems.push(`${face.code}: ${name} is not what require('${specifier}') has`)
      }
    }
  }
  return problems
}

/** The versions that are checked when a peer is loaded are those that package.json promises. */
function problemsOfPeers() {
  const { SUPPORTED } = require(absolute(`${PEERS}versions.js`))
  return [...new Set([...Object.keys(SUPPORTED), ...Object.keys(manifest.peerDependencies)])]
    .filter(name => SUPPORTED[name] !== manifest.peerDependencies[name])
    .map(name => `package.json: takes ${name} ${manifest.peerDependencies[name]}, but src checks ${SUPPORTED[name]}`)
}

/** What Jest cannot transform, and what a bundle that is an ES module cannot load. */
function problemsOfLoading() {
  const problems = []
  for (const file of filesBelow('dist').filter(path => path.endsWith('.js'))) {
    const text = read(file)
    if (/^(?! *(?:\*|\/[/*])).*\bimport\.meta\b/m.test(text))
      problems.push(`${file}: uses import.meta, which not every loader knows`)
    if (file.startsWith(PEERS)) continue
    for (const [, specifier = ''] of text.matchAll(/\brequire\("([^".][^"]*)"\)/g)) {
      if (!(specifier in manifest.dependencies)) problems.push(`${file}: requires "${specifier}" by itself`)
    }
  }
  return problems
}

/** @returns {Promise<string[]>} */
export async function checkExports() {
  const problems = [...problemsOfFiles(), ...problemsOfOlderResolution(), ...problemsOfPeers(), ...problemsOfLoading()]
  return problems.length > 0 ? problems : await problemsOfFaces()
}
