// Makes sure that the tests find the programs of PostgreSQL 14 or later and of PgBouncer. On Debian and its relatives, as root,
// it installs the packages without leaving a service running; everywhere else it says what to do and exits 1.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { aptInstall, canAptInstall } from './apt.js'

const OLDEST = 14
/** Where Debian and Red Hat keep `initdb`, which is not on the PATH there. */
const FOLDERS = ['/usr/lib/postgresql', '/usr/pgsql']

/**
 * The folder with the newest `initdb`, or what `SOLOIST_POSTGRES_BIN` names; '' where it is on the PATH.
 *
 * @returns {string | null}
 */
export function postgresFolder() {
  const named = process.env.SOLOIST_POSTGRES_BIN
  if (named) return named
  for (const folder of FOLDERS.filter(existsSync)) {
    const majors = readdirSync(folder).filter(name => existsSync(join(folder, name, 'bin', 'initdb')))
    const newest = majors.sort((a, b) => Number(b) - Number(a))[0]
    if (newest !== undefined) return join(folder, newest, 'bin')
  }
  return spawnSync('initdb', ['--version']).status === 0 ? '' : null
}

function postgresVersion() {
  const folder = postgresFolder()
  if (folder === null) return null
  const { stdout } = spawnSync(join(folder, 'postgres'), ['--version'], { encoding: 'utf8' })
  return /(\d+)\.\d+/.exec(stdout ?? '')?.[0] ?? null
}

/** On Debian in a folder that is on the PATH of root alone. */
export function pgbouncerProgram() {
  const debian = '/usr/sbin/pgbouncer'
  return existsSync(debian) ? debian : 'pgbouncer'
}

function pgbouncerVersion() {
  const { stdout } = spawnSync(pgbouncerProgram(), ['--version'], { encoding: 'utf8' })
  return /\d+\.\d+\.\d+/.exec(stdout ?? '')?.[0] ?? null
}

/** @param {string} name @param {() => string | null} version @param {string} apt @param {string} brew */
function provide(name, version, apt, brew) {
  const before = version()
  const installed = before === null && canAptInstall() && aptInstall(apt)
  const now = installed ? version() : before
  if (now !== null && (name !== 'postgresql' || Number.parseInt(now, 10) >= OLDEST)) {
    console.log(`provide-postgres: ${name} ${now}${installed ? ' installed' : ''}`)
    return
  }
  const found = now === null ? 'there is none' : `found ${now}`
  const wanted = name === 'postgresql' ? `${name} ${OLDEST} or later` : name
  const how = process.platform === 'darwin' ? `brew install ${brew}` : `sudo apt-get install ${apt}, or the like`
  console.error(`provide-postgres: the tests need ${wanted}, ${found}; install it (${how})`)
  process.exitCode = 1
}

if (process.argv[1] === import.meta.filename) {
  provide('postgresql', postgresVersion, 'postgresql', 'postgresql')
  provide('pgbouncer', pgbouncerVersion, 'pgbouncer', 'pgbouncer')
}
