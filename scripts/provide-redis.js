// Makes sure that the tests find a real `redis-server` of version 7 or later. On Debian and its relatives, as root, it
// installs the package without leaving a service running; everywhere else it says what to do and exits 1.
import { spawnSync } from 'node:child_process'
import { aptInstall, canAptInstall } from './apt.js'

const OLDEST = 7

/** The server's version, or `null` when there is none on the PATH. */
function installedVersion() {
  const { stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
  return /\bv=(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1] ?? null
}

/** @param {string | null} version */
const isEnough = version => version !== null && Number.parseInt(version, 10) >= OLDEST

const before = installedVersion()
if (isEnough(before)) {
  console.log(`provide-redis: redis-server ${before}`)
} else if (before === null && canAptInstall() && aptInstall('redis-server') && isEnough(installedVersion())) {
  console.log(`provide-redis: redis-server ${installedVersion()} installed`)
} else {
  const now = installedVersion()
  const found = now === null ? 'there is none on the PATH' : `found ${now}`
  const how = process.platform === 'darwin' ? 'brew install redis' : 'sudo apt-get install redis-server, or the like'
  console.error(`provide-redis: the tests need redis-server ${OLDEST} or later, ${found}; install it (${how})`)
  process.exitCode = 1
}
