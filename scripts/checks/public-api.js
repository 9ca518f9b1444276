// The names that users can import, compared with the reviewed list of them in api/public-api.txt and with the reference.
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { absolute, exists, filesBelow, manifest, read, subpaths } from './tree.js'

const SNAPSHOT = 'api/public-api.txt'
/** Describes every name of the package itself, and the values of its subpaths unless another page does. */
const REFERENCE = 'docs/api.md'

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

/** What each subpath exports; one without its files is for the check of the exports to report. */
async function publicNames() {
  const found = []
  for (const { specifier, body, face } of subpaths) {
    if (!exists(body.types) || !exists(face.code)) continue
    const values = new Set(Object.keys(await import(pathToFileURL(absolute(face.code)).href)))
    found.push({ specifier, values, names: [...new Set([...declaredNames(body.types), ...values])].sort() })
  }
  return found
}

/** The text the snapshot should be, made from dist. */
async function present() {
  const parts = (await publicNames()).map(({ specifier, values, names }) => {
    const lines = names.map(name => `  ${values.has(name) ? name : `type ${name}`}\n`)
    return `${specifier}\n${lines.join('')}`
  })
  return parts.join('\n')
}

async function undocumented() {
  const reference = exists(REFERENCE) ? read(REFERENCE) : ''
  const docs = filesBelow('docs').map(read).join('\n')
  /** @param {string} text @param {string} name */
  const mentions = (text, name) => new RegExp(`\\b${name}\\b`).test(text)
  return (await publicNames()).flatMap(({ specifier, values, names }) => {
    const isRoot = specifier === manifest.name
    const missing = names.filter(name =>
      isRoot ? !mentions(reference, name) : values.has(name) && !mentions(docs, name),
    )
    return missing.map(name => `${isRoot ? REFERENCE : 'docs'}: does not mention ${name}, which ${specifier} exports`)
  })
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
  const problems = await undocumented()
  const now = await present()
  const before = exists(SNAPSHOT) ? read(SNAPSHOT) : ''
  if (now === before) return problems
  const [is, was] = [entries(now), entries(before)]
  return [
    ...problems,
    `${SNAPSHOT}: the public names changed; if that is meant, run "node scripts/check-package.js --write"`,
    ...was.filter(entry => !is.includes(entry)).map(entry => `  - ${entry}`),
    ...is.filter(entry => !was.includes(entry)).map(entry => `  + ${entry}`),
  ]
}
