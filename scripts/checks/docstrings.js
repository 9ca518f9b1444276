// Whoever calls an async function of this package must know what is held when the call is aborted or rejects. So the
// docstring of each method that is public says it, in a paragraph that begins with the words below.
import { filesBelow, read } from './tree.js'

const HEADING = 'Held after abort or rejection:'
/** What others implement: backends, and clients of Redis and Postgres. */
const OF_OTHERS = [
  'Backend',
  'ResultStore',
  'PgPoolClient',
  'PgPool',
  'PgClient',
  'PgLite',
  'IoredisClient',
  'NodeRedisClient',
  'NodeRedisCluster',
  'NodeRedisSentinel',
]

/** The names in api/public-api.txt. */
function publicNames() {
  const lines = read('api/public-api.txt').split('\n')
  return new Set(lines.filter(line => line.startsWith('  ')).map(line => line.trim().replace(/^type /, '')))
}

/** @param {string} file @param {ReadonlySet<string>} names @returns {string[]} */
function problemsIn(file, names) {
  const text = read(file)
  const problems = []
  for (const [body = '', name = ''] of text.matchAll(/^export (?:abstract )?(?:class|interface) (\w+)[\s\S]*?^}$/gm)) {
    if (!names.has(name) || OF_OTHERS.includes(name)) continue
    for (const { member, docs } of asyncMembers(body)) {
      if (!docs.replace(/\s*\n\s*\* ?/g, ' ').includes(HEADING)) {
        problems.push(`${file}: the docstring of ${name}.${member} must say "${HEADING} …"`)
      }
    }
  }
  return problems
}

/** The members of a class or an interface that answer with a promise or an async generator, each with its docstring. */
function asyncMembers(/** @type {string} */ body) {
  const found = []
  const members = body.matchAll(
    /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n(?: {2}\/\/.*\n)*)?^ {2}(?:override )?(?:async )?\*?(\w+)?(?:<[^(]*>)?\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\): (?:Promise|AsyncGenerator)</gm,
  )
  let last = ''
  for (const [, docs = '', name = 'the call'] of members) {
    // Of overloads the first is documented.
    if (name === last && docs === '') continue
    last = name
    if (name !== 'constructor') found.push({ member: name, docs })
  }
  return found
}

/** @returns {string[]} */
export function checkDocstrings() {
  const names = publicNames()
  return filesBelow('src')
    .filter(file => file.endsWith('.ts') && !/^src\/(?:cli|conformance|internal)\//.test(file))
    .flatMap(file => problemsIn(file, names))
}
