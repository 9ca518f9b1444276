// How soloist/cron finds croner, or does without.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild-wasm'
import { afterEach, beforeEach, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soloist-loading-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const PROGRAM = `
  const solo = connect('memory:')
  const once = await oncePerTick(solo, 'a', 0, () => 1).then(({ status }) => status)
  let next
  try {
    const schedule = cron(solo, 'b', '0 0 1 1 *', { timezone: 'UTC' }, () => {})
    next = schedule.next.toISOString().slice(4)
  } catch (error) {
    next = error.code + ': ' + error.message
  }
  await solo.close()
  console.log(JSON.stringify({ once, next }))
`
const IMPORTS = `import { connect } from 'soloist'\nimport { cron, oncePerTick } from 'soloist/cron'\n`
const missing = expect.stringMatching(/^BACKEND_UNAVAILABLE: .*"croner"/)

async function run(file: string): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder })
  return JSON.parse(stdout)
}

/** The package in a folder whose `node_modules` hold nothing else. */
function install(...others: readonly string[]): void {
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'soloist'), { recursive: true })
  for (const name of ['dist', 'package.json'])
    cpSync(join(root, name), join(modules, 'soloist', name), { recursive: true })
  for (const name of others) symlinkSync(join(root, 'node_modules', name), join(modules, name))
}

async function bundle(): Promise<string> {
  const outfile = join(folder, 'bundle.mjs')
  const stdin = { contents: IMPORTS + PROGRAM, resolveDir: folder }
  const external = ['ioredis', 'libsql', 'redis']
  const { warnings } = await build({ stdin, outfile, bundle: true, platform: 'node', format: 'esm', external })
  expect(warnings).toEqual([])
  return outfile
}

// A tick of 1970 is too old to be told from one that ran before.
test('by import and by require, with croner and without', { timeout: 60_000 }, async () => {
  install('croner')
  writeFileSync(join(folder, 'a.mjs'), IMPORTS + PROGRAM)
  const requires = `const { connect } = require('soloist'); const { cron, oncePerTick } = require('soloist/cron')\n`
  writeFileSync(join(folder, 'b.cjs'), `${requires}void (async () => {${PROGRAM}})()`)
  const found = { once: 'refused', next: '-01-01T00:00:00.000Z' }
  expect([await run('a.mjs'), await run('b.cjs')]).toEqual([found, found])
  rmSync(join(folder, 'node_modules/croner'))
  const without = { once: 'refused', next: missing }
  expect([await run('a.mjs'), await run('b.cjs')]).toEqual([without, without])
})

test('in a bundle, which has croner where it is installed', { timeout: 60_000 }, async () => {
  install('croner')
  const outfile = await bundle()
  rmSync(join(folder, 'node_modules'), { recursive: true })
  expect(await run(outfile)).toEqual({ once: 'refused', next: '-01-01T00:00:00.000Z' })
})

test('in a bundle that was made where it is not installed', { timeout: 60_000 }, async () => {
  install()
  const outfile = await bundle()
  expect(await run(outfile)).toEqual({ once: 'refused', next: missing })
})
