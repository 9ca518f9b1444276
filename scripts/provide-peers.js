// Makes sure that what the benchmark compares with, and nothing else needs, is installed in bench/peers as its lockfile says.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../bench/peers', import.meta.url))
const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))

/** @param {[string, unknown]} dependency */
const isThere = ([name, wanted]) => {
  const file = join(folder, 'node_modules', name, 'package.json')
  return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version.replace(/^v/, '') === wanted
}

if (!Object.entries(dependencies).every(isThere)) {
  console.log('provide-peers: installing what the benchmark compares with into bench/peers')
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  process.exitCode = status ?? 1
}
