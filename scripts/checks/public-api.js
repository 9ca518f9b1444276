// The names that users can import, compared with the reviewed list of them in api/public-api.txt.
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { absolute, exists, read, subpaths } from './tree.js'

const SNAPSHOT = 'api/public-api.txt'

/** All names a declaration file exports, types and values. @param {string} file @returns {string[]} */
function declaredNames(file) {
  const names = []
  for (const [statement] of read(file).matchAll(/^export\b.*/gm)) {
    const list = /^export (?:type )?\{([^}]*)\}/.exec(statement)
    const declared = /^export (?:declare )?(?:abstract )?(?:function|class|const|interface|type) (\w+)/.exec(statement)
    if (list?.[1] !== undefined) {
      const items = list[1].split(',').map(item => item.trim())
      names.push(...items.filter(Boolean).map(item => item.replace(/^type /, '').replace(/^.* as /, '')))
    } else if (declared?.[1] !== undefined) names.push(declared[1])
    else throw new Error(`${file}: cannot tell which names this exports: ${statement}`)
  }
  return names
}

/** The text the snapshot should be, made from dist. */
async function present() {
  const parts = []
  for (const { specifier, types, module } of subpaths) {
    // That a file is missing is for the check of the exports to say.
    if (!exists(types) || !exists(module)) continue
    const values = new Set(Object.keys(await import(pathToFileURL(absolute(module)).href)))
    const names = [...new Set([...declaredNames(types), ...values])].sort()
    parts.push(`${specifier}\n${names.map(name => `  ${values.has(name) ? name : `type ${name}`}\n`).join('')}`)
  }
  return parts.join('\n')
}

/** Each line together with the subpath it is under. @param {string} snapshot */
function entries(snapshot) {
  let specifier = ''
  return snapshot.split('\n').flatMap(line => {
    if (line !== '' && !line.startsWith(' ')) specifier = line
    return line === '' ? [] : [line === specifier ? line : `${specifier}: ${line.trim()}`]
  })
}

export async function writePublicApi() {
  writeFileSync(absolute(SNAPSHOT), await present())
}

/** @returns {Promise<string[]>} */
export async function checkPublicApi() {
  const now = await present()
  const before = exists(SNAPSHOT) ? read(SNAPSHOT) : ''
  if (now === before) return []
  const [is, was] = [entries(now), entries(before)]
  return [
    `${SNAPSHOT}: the public names changed; if that is meant, run "node scripts/check-package.js --write"`,
    ...was.filter(entry => !is.includes(entry)).map(entry => `  - ${entry}`),
    ...is.filter(entry => !was.includes(entry)).map(entry => `  + ${entry}`),
  ]
}
