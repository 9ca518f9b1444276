// Every backend has a way in, passes the conformance suite and has its page; every subpath is documented.
import { exists, filesBelow, foldersIn, manifest, read, subpaths } from './tree.js'

/** @param {string} backend */
function problemsOf(backend) {
  const problems = []
  const folder = `src/backends/${backend}`
  const hasSubpath = subpaths.some(({ body }) => body.code === `dist/backends/${backend}/index.js`)
  if (exists(`${folder}/index.ts`) !== hasSubpath) {
    const missing = hasSubpath ? `${folder}/index.ts` : `a subpath "./${backend}" in the "exports" of package.json`
    problems.push(`${folder}: add ${missing}`)
  }
  if (!hasSubpath && !read('src/index.ts').includes(`'./backends/${backend}/`)) {
    problems.push(`${folder}: has no subpath, so export it from src/index.ts`)
  }
  if (!conformanceTests().some(file => belongsTo(file, backend))) {
    problems.push(`${folder}: add test/conformance/${backend}.test.ts, which runs the conformance suite on it`)
  }
  if (!exists(`docs/backends/${backend}.md`)) problems.push(`${folder}: describe it in docs/backends/${backend}.md`)
  return problems
}

/** The test files that register the conformance suite. */
function conformanceTests() {
  const files = filesBelow('test/conformance').filter(file => file.endsWith('.test.ts'))
  return files.filter(file => /^\s*conformance\(\{/m.test(read(file)))
}

/** @param {string} file @param {string} backend */
const belongsTo = (file, backend) => new RegExp(`^test/conformance/${backend}(-[^/]*)?\\.test\\.ts$`).test(file)

/** @returns {string[]} */
export function checkBackends() {
  const backends = foldersIn('src/backends')
  const problems = backends.flatMap(problemsOf)
  for (const file of conformanceTests()) {
    if (!backends.some(backend => belongsTo(file, backend))) {
      problems.push(`${file}: begin its name with that of a folder of src/backends`)
    }
  }
  const docs = ['README.md', ...filesBelow('docs')].filter(exists).map(read).join('\n')
  for (const { specifier } of subpaths.filter(({ specifier }) => specifier !== manifest.name)) {
    if (!docs.includes(`'${specifier}'`)) problems.push(`README.md: no example there or in docs imports '${specifier}'`)
  }
  return problems
}
