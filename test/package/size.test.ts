import { fileURLToPath } from 'node:url'
import { build } from 'esbuild-wasm'
import { expect, test } from 'vitest'

/** Core and the four stores, of which Postgres with its SQL is the largest, jobs and leaders. */
const MOST_BYTES = 357_000
const root = fileURLToPath(new URL('../../', import.meta.url))

test(`a bundle with locks alone has at most ${MOST_BYTES} bytes`, { timeout: 120_000 }, async () => {
  const { outputFiles, warnings } = await build({
    stdin: { contents: "import { connect } from 'soloist'; connect('memory:')", resolveDir: root },
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    external: ['bullmq', 'ioredis', 'libsql', 'pg', 'redis'],
    write: false,
  })
  expect(warnings).toEqual([])
  const [bundle] = outputFiles
  expect(bundle?.contents.length).toBeLessThanOrEqual(MOST_BYTES)
  // Less would mean that something is not in it.
  expect(bundle?.contents.length).toBeGreaterThan(0.85 * MOST_BYTES)
})
