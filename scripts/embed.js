// Embeds the scripts of each backend, `src/backends/<backend>/{scripts/*.lua,sql/*.sql}`, and those of the BullMQ adapter, as
// strings into `src/internal/generated/<name>.ts`, so that the library reads no file at run time. A line `-- @include NAME` stands
// for the file NAME beside it, and `-- @limit NAME` for a local that is what the backend's `protocol/limits.ts` says: as text, which
// a command takes as it is, where a number would be written for each call. Other lines of comment and indentation are for who
// reads the files, and left out; a line `-- @…` stays. With `--check` nothing is written: it exits 1 when a generated file is not up to date.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const backends = join(root, 'src', 'backends')
/** Folders with a folder `scripts` or `sql`, by the name of the file that is made of them. @type {Record<string, string>} */
const folders = {
  ...Object.fromEntries(readdirSync(backends).map(name => [name, join(backends, name)])),
  bullmq: join(root, 'src', 'adapters', 'bullmq', 'fused'),
}
const generated = join(root, 'src', 'internal', 'generated')

/** @param {string} text */
const literal = text => `\`${text.replace(/[\\`]|\$\{/g, '\\$&')}\``

/** @param {string} folder @param {string} file @returns {string} */
function readWithIncludes(folder, file) {
  return readFileSync(join(folder, file), 'utf8').replace(/^-- @include (\S+)\n/gm, (_, name) =>
    readWithIncludes(folder, name),
  )
}

/** @param {string} folder @param {string} text */
function withLimits(folder, text) {
  const file = join(folder, '..', 'protocol', 'limits.ts')
  return text.replace(/^-- @limit (\S+)$/gm, (_, name) => {
    const found = new RegExp(`^export const ${name} = ([\\d_]+)$`, 'm').exec(readFileSync(file, 'utf8'))
    if (found === null) throw new Error(`${relative(root, file)} has no ${name}`)
    return `local ${name} = '${found[1]?.replaceAll('_', '')}'`
  })
}

/** Takes no account of texts over several lines, of which there are none. @param {string} text */
const withoutComments = text =>
  text
    .replace(/^ *--(?! @).*\n/gm, '')
    .replace(/\n{2,}/g, '\n')
    .replace(/^ +/gm, '')

/** The files of a folder that stand for themselves; one that starts with `_` is only ever included. @param {string} folder @param {string} ending */
function sources(folder, ending) {
  if (!existsSync(folder)) return []
  const files = readdirSync(folder).filter(file => file.endsWith(ending) && !file.startsWith('_'))
  return files
    .sort()
    .map(file => ({ name: file.slice(0, -ending.length), text: withLimits(folder, readWithIncludes(folder, file)) }))
}

/** @param {string} from */
function generate(from) {
  const lua = sources(join(from, 'scripts'), '.lua').map(({ name, text: written }) => {
    const text = withoutComments(written)
    const sha1 = createHash('sha1').update(text).digest('hex')
    return `  ${name}: {\n    sha1: '${sha1}',\n    source: ${literal(text)},\n  },\n`
  })
  const sql = sources(join(from, 'sql'), '.sql').map(
    ({ name, text }) => `  ${name}: ${literal(withoutComments(text))},\n`,
  )
  const header = `// Made by scripts/embed.js from the files of ${relative(root, from)}; edit those.\n`
  const scripts = 'Readonly<Record<NAMES, { readonly sha1: string; readonly source: string }>>'
  const parts = []
  /** @param {string} folder @param {string} ending */
  const names = (folder, ending) =>
    sources(join(from, folder), ending)
      .map(({ name }) => `'${name}'`)
      .join(' | ')
  if (lua.length > 0) {
    parts.push(`export const scripts: ${scripts.replace('NAMES', names('scripts', '.lua'))} = {\n${lua.join('')}}\n`)
  }
  if (sql.length > 0) {
    parts.push(`export const sql: Readonly<Record<${names('sql', '.sql')}, string>> = {\n${sql.join('')}}\n`)
  }
  return parts.length === 0 ? null : header + parts.join('')
}

const check = process.argv.includes('--check')
let stale = false
mkdirSync(generated, { recursive: true })
for (const [backend, from] of Object.entries(folders)) {
  const text = generate(from)
  const file = join(generated, `${backend}.ts`)
  if (text === null || (existsSync(file) && readFileSync(file, 'utf8') === text)) continue
  stale = true
  if (check) console.error(`src/internal/generated/${backend}.ts is not up to date: run "node scripts/embed.js"`)
  else writeFileSync(file, text)
}
if (check && stale) process.exitCode = 1
