// Installs what the tests need on Debian and its relatives.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const POLICY = '/usr/sbin/policy-rc.d'

/** Whether `aptInstall` can work here: on Debian or a relative of it, as root. */
export function canAptInstall() {
  if (process.getuid?.() !== 0 || !existsSync('/etc/os-release')) return false
  return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(readFileSync('/etc/os-release', 'utf8'))
}

/**
 * Installs a package while the system's policy forbids to start services; a policy that is there stays as it is.
 *
 * @param {string} name
 * @returns {boolean} whether it is installed now
 */
export function aptInstall(name) {
  const ours = !existsSync(POLICY)
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const packages = ['install', '-q', '-y', '--no-install-recommends', name]
    // The package lists may be missing or old.
    return aptGet(...packages) || (aptGet('update', '-q') && aptGet(...packages))
  } finally {
    if (ours) rmSync(POLICY)
  }
}

/** @param {string[]} args */
function aptGet(...args) {
  console.log(`apt-get ${args.join(' ')}`)
  const { status, error } = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (error) console.error(`apt-get: ${error.message}`)
  return status === 0
}
