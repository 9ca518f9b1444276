import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRedis } from '../../support/redis-server.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/**
 * What all consumers share: the package, packed once, and a real Redis. They are found through the environment:
 * `SOLOIST_TEST_TARBALL` is a path, `SOLOIST_TEST_REDIS` is a URL.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'soloist-pack-'))
  const packed = spawnSync('npm', ['pack', '--pack-destination', folder], { cwd: root, encoding: 'utf8' })
  const [tarball] = readdirSync(folder)
  if (packed.status !== 0 || tarball === undefined) {
    throw new Error(`npm pack failed:\n${packed.stdout}${packed.stderr}`)
  }
  process.env.SOLOIST_TEST_TARBALL = join(folder, tarball)
  const redis = await startRedis()
  process.env.SOLOIST_TEST_REDIS = redis.url
  return async () => {
    await redis.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
