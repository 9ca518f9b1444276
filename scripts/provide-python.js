// Makes sure that the tests of `soloist/celery` find a `python3`, for its standard library alone. On Debian and its
// relatives, as root, it installs the package; everywhere else it says what to do and exits 1.
import { spawnSync } from 'node:child_process'
import { aptInstall, canAptInstall } from './apt.js'

/** What `python3` says it is, or `null` when there is none on the PATH that runs and knows what the tests need of it. */
function installedVersion() {
  const script = 'import hashlib, json, platform, socket; print(platform.python_version())'
  const { status, stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}

const before = installedVersion()
if (before !== null) {
  console.log(`provide-python: python3 ${before}`)
} else if (canAptInstall() && aptInstall('python3') && installedVersion() !== null) {
  console.log(`provide-python: python3 ${installedVersion()} installed`)
} else {
  const how = process.platform === 'darwin' ? 'brew install python3' : 'sudo apt-get install python3, or the like'
  console.error(`provide-python: the tests need python3 on the PATH; install it (${how})`)
  process.exitCode = 1
}
