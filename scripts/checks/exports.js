// package.json ↔ dist ↔ src: everything promised is there, and nothing in dist is left over from a source that is gone.
import { exists, filesBelow, manifest, subpaths } from './tree.js'

/** @param {string} built */
const sourceOf = built => built.replace(/^dist\//, 'src/').replace(/(\.d)?\.[jt]s$/, '.ts')

/** @returns {string[]} */
export function checkExports() {
  const problems = []
  for (const { specifier, types, module } of subpaths) {
    for (const file of [types, module]) {
      if (!exists(file))
        problems.push(`package.json: "${specifier}" stands for ${file}, which is not there: correct "exports"`)
    }
    if (sourceOf(types) !== sourceOf(module)) {
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
    if (!exists(sourceOf(built)))
      problems.push(`${built}: has no source ${sourceOf(built)}: remove dist and build again`)
  }
  return problems
}
