// Who may import whom in src, where there may be no circles, and how long a file may be.
import { posix } from 'node:path'
import { filesBelow, manifest, read } from './tree.js'

const MOST_LINES = 500

/**
 * What each area may import besides itself and Node: other areas, or single files of theirs. An area is a folder of src,
 * one of src/backends or src/adapters, or a file right in src. `public` stands for what users can import: src/index.ts
 * and the index.ts of a backend and of cron.
 * @type {Record<string, string[]>}
 */
const MAY_IMPORT = {
  backend: [],
  errors: [],
  internal: ['backend', 'errors'],
  lock: ['backend', 'errors', 'internal'],
  job: ['backend', 'errors', 'internal', 'lock'],
  leader: ['backend', 'errors', 'internal', 'lock'],
  'backends/*': ['backend', 'errors', 'internal'],
  cron: ['backend', 'errors', 'internal', 'lock', 'soloist'],
  soloist: ['backend', 'errors', 'internal', 'job', 'leader', 'lock'],
  connect: ['backend', 'backends/*', 'errors', 'internal', 'soloist'],
  index: ['backend', 'backends/*', 'connect', 'errors', 'internal', 'job', 'leader', 'lock', 'soloist'],
  // Adapters check the options they share with function jobs by the same rules.
  'adapters/*': ['internal/check', 'internal/job-modes', 'public'],
  // The steps of a lock are part of BullMQ's own scripts, and what a trigger does is decided as for function jobs.
  'adapters/bullmq': [
    'backends/redis/keys',
    'backends/redis/protocol/limits',
    'errors',
    'internal/check',
    'internal/generated/bullmq',
    'internal/generated/redis',
    'internal/job-decision',
    'internal/job-modes',
    'internal/job-terms',
    'internal/peers/bullmq',
    'internal/peers/ioredis',
    'internal/real-time',
    'job/naming/meta',
    'public',
  ],
  // Python's locks are no locks of a backend, but they are on Redis.
  'adapters/celery': ['backends/redis', 'errors', 'internal', 'job', 'public'],
  // The options of decorators are checked where they stand, by the rules of what they are options of.
  'adapters/nest': ['cron/names', 'cron/options', 'errors', 'internal', 'job/options', 'lock/request', 'public'],
  conformance: ['backend', 'errors', 'public'],
  // The command tells how far a job is by what its locks hold, as the adapter and the job wrote it.
  cli: ['adapters/bullmq/lock/owner', 'internal/job-modes', 'public'],
}

/**
 * The packages an area may import. The build turns an import of BullMQ into a call of what loads it.
 * @type {Record<string, string[]>}
 */
const MAY_IMPORT_PACKAGES = { cli: Object.keys(manifest.dependencies), 'adapters/bullmq': ['bullmq'] }
/** Where optional peers are loaded. */
const PEERS = 'internal/peers/'

/** Where no file may import itself by way of others, types included: what belongs to what shows in the imports. */
const NO_CIRCLES = ['lock/', 'backends/redis/']

/** @param {string} file a path below src */
function areaOf(file) {
  const [first = '', second = ''] = file.split('/')
  return first === 'backends' || first === 'adapters' ? `${first}/${second}` : first.replace(/\.ts$/, '')
}

/** @param {string} area */
const kindOf = area => (area in MAY_IMPORT ? area : area.replace(/^(backends|adapters)\/.*/, '$1/*'))

/** @param {string} file a path below src */
const isPublic = file => /^(index|cron\/index|backends\/[^/]+\/index)\.ts$/.test(file)

/** @param {string} text @returns {string[]} */
function importsOf(text) {
  const fixed = text.matchAll(/^(?:import|export)\s(?:[^'"`;=]*?\sfrom\s)?'([^']+)'/gm)
  const called = text.matchAll(/(?<!typeof )\b(?:import|require)\('([^']+)'\)/g)
  return [...fixed, ...called].map(([, specifier = '']) => specifier)
}

/** The package of a specifier that names one, or a file in it. @param {string} specifier */
const packageOf = specifier => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')

/** @param {string} file a path below src @param {string} specifier */
function problemOf(file, specifier) {
  const area = areaOf(file)
  if (specifier.startsWith('node:')) return null
  if (!specifier.startsWith('.')) {
    if (file.startsWith(PEERS) && packageOf(specifier) in manifest.peerDependencies) return null
    if (MAY_IMPORT_PACKAGES[area]?.includes(specifier)) return null
    return `src/${file}: must not import the package "${specifier}"; a peer is loaded in src/${PEERS} when it is needed`
  }
  const target = targetOf(file, specifier)
  if (areaOf(target) === area) return null
  const allowed = MAY_IMPORT[kindOf(area)] ?? []
  const names = [areaOf(target), kindOf(areaOf(target)), target.replace(/\.ts$/, '')]
  if (names.some(name => allowed.includes(name))) return null
  if (allowed.includes('public') && isPublic(target)) return null
  return `src/${file}: must not import src/${target}; ${kindOf(area)} may import ${allowed.join(', ') || 'nothing'}`
}

/** @param {string} file a path below src @param {string} specifier */
const targetOf = (file, specifier) => posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts')

/** One circle for each file that is in one. @param {Map<string, string[]>} imports @returns {string[][]} */
function circlesOf(imports) {
  /** @type {string[][]} */
  const circles = []
  const done = new Set()
  /** @param {string} file @param {string[]} path */
  const visit = (file, path) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file])
    else if (!done.has(file)) {
      for (const next of imports.get(file) ?? []) visit(next, [...path, file])
      done.add(file)
    }
  }
  for (const file of imports.keys()) visit(file, [])
  return circles
}

/** @returns {string[]} */
export function checkSources() {
  const problems = []
  /** @type {Map<string, string[]>} */
  const imports = new Map()
  for (const path of filesBelow('src')) {
    const file = path.slice('src/'.length)
    if (file.startsWith('internal/generated/')) continue
    const text = read(path)
    const lines = text.split('\n').length - 1
    if (lines > MOST_LINES) problems.push(`${path}: has ${lines} lines; split it, ${MOST_LINES} are the most`)
    if (!/\.m?ts$/.test(file)) continue
    if (!(kindOf(areaOf(file)) in MAY_IMPORT)) {
      problems.push(`${path}: say in scripts/checks/sources.js what ${areaOf(file)} may import`)
    }
    const all = importsOf(text)
    for (const specifier of all) {
      const problem = problemOf(file, specifier)
      if (problem !== null) problems.push(problem)
    }
    const room = NO_CIRCLES.find(room => file.startsWith(room))
    if (room === undefined) continue
    const targets = all.filter(specifier => specifier.startsWith('.')).map(specifier => targetOf(file, specifier))
    imports.set(
      file,
      targets.filter(target => target.startsWith(room)),
    )
  }
  for (const circle of circlesOf(imports)) problems.push(`src/${circle[0]}: a circle of imports: ${circle.join(' → ')}`)
  return problems
}
