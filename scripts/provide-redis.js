// Makes sure that the tests find a real `redis-server` of version 7 or later. On Debian and its relatives, as root, it
// installs the package without leaving a service running; everywhere else it says what to do and exits 1.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const OLDEST = 7
const POLICY = '/usr/sbin/policy-rc.d'

/** The server's version, or `null` when there is none on the PATH. */
function installedVersion() {
  const { stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
  return /\bv=(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1] ?? null
}

/** @param {string | null} version */
const isEnough = version => version !== null && Number.parseInt(version, 10) >= OLDEST

/** @param {string[]} args */
function aptGet(...args) {
  console.log(`provide-redis: apt-get ${args.join(' ')}`)
  const { status, error } = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (error) console.error(`provide-redis: ${error.message}`)
  return status === 0
}

/** Installs the package while the system's policy forbids to start services; a policy that is there stays as it is. */
function install() {
  const ours = !existsSync(POLICY)
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const packages = ['install', '-q', '-y', '--no-install-recommends', 'redis-server']
    // The package lists may be missing or old.
    return aptGet(...packages) || (aptGet('update', '-q') && aptGet(...packages))
  } finally {
    if (ours) rmSync(POLICY)
  }
}

function isDebian() {
  if (!existsSync('/etc/os-release')) return false
  return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(readFileSync('/etc/os-release', 'utf8'))
}

const before = installedVersion()
if (isEnough(before)) {
  console.log(`provide-redis: redis-server ${before}`)
} else if (before === null && isDebian() && process.getuid?.() === 0 && install() && isEnough(installedVersion())) {
  console.log(`provide-redis: redis-server ${installedVersion()} installed`)
} else {
  const now = installedVersion()
  const found = now === null ? 'there is none on the PATH' : `found ${now}`
  const how = process.platform === 'darwin' ? 'brew install redis' : 'sudo apt-get install redis-server, or the like'
  console.error(`provide-redis: the tests need redis-server ${OLDEST} or later, ${found}; install it (${how})`)
  process.exitCode = 1
}
