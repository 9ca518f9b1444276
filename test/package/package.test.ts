import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cacheFolder, fetchPackages } from '../../scripts/fetched.js'

const INSTALL_MS = 180_000
const root = fileURLToPath(new URL('../../', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const specifiers = Object.keys(manifest.exports)
  .filter(subpath => subpath !== './package.json')
  .map(subpath => subpath.replace('.', manifest.name))
/** They are made of what a framework has, so they cannot be had without. */
const BULLMQ = `${manifest.name}/bullmq`
const NEST = `${manifest.name}/nest`
const alone = specifiers.filter(specifier => specifier !== BULLMQ && specifier !== NEST)
const folder = mkdtempSync(join(tmpdir(), 'soloist-package-'))

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}
let packed: Packed

async function run(command: string, args: readonly string[], cwd: string = folder): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd })
  return stdout.trim()
}

function install(...packages: string[]): Promise<string> {
  return run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...packages])
}

/**
 * Puts packages beside the installed one, as they are in another `node_modules`. Whether npm puts them there, and takes the
 * versions, is seen in `test/consumers`.
 */
function addBeside(names: readonly string[], modules: string = join(root, 'node_modules')): void {
  for (const name of names) {
    const place = join(folder, 'node_modules', name)
    mkdirSync(dirname(place), { recursive: true })
    rmSync(place, { force: true })
    symlinkSync(join(modules, name), place)
  }
}

/** The `node_modules` of versions that are not taken. */
function refused(...packages: string[]): string {
  const cache = cacheFolder('refused', packages.join('-').replaceAll('/', '-'))
  const modules = join(cache, 'node_modules')
  const whole = join(cache, 'whole')
  if (!existsSync(whole)) {
    if (!fetchPackages(cache, packages)) throw new Error(`${packages} could not be fetched`)
    writeFileSync(whole, '')
  }
  return modules
}

/** The tarball, installed with nothing else in an empty folder. */
beforeAll(async () => {
  ;[packed] = JSON.parse(
    await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root),
  ) as [Packed]
  cpSync(fileURLToPath(new URL('consumer', import.meta.url)), folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  await install(`./${packed.filename}`)
}, INSTALL_MS)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the tarball', () => {
  test('holds what was built from src, the documentation, and nothing else', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    const built = sources
      .filter(file => /\.m?ts$/.test(file))
      .flatMap(file => [file.replace(/ts$/, 'js'), file.replace(/(m?)ts$/, 'd.$1ts')])
      .map(file => `dist/${file}`)
    const faces = built.filter(file => /(^dist|s\/[^/]+|conformance|dist\/cron)\/index\.(d\.ts|js)$/.test(file))
    built.push('dist/package.json', 'dist/core.js', ...faces.map(file => file.replace(/ts$|js$/, 'm$&')))
    // With the plots that a page shows.
    const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter(file => /\.(?:md|svg)$/.test(file))
      .map(file => `docs/${file}`)
    const fixed = ['bin/soloist', 'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'llms.txt', 'package.json']
    expect(packed.files.map(({ path }) => path).sort()).toEqual([...built, ...pages, ...fixed].sort())
  })

  test('refers to no source map', () => {
    const files = packed.files.map(({ path }) => path).filter(path => path.startsWith('dist/'))
    const installed = join(folder, 'node_modules', manifest.name)
    expect(files.filter(file => readFileSync(join(installed, file), 'utf8').includes('sourceMappingURL'))).toEqual([])
  })
})

describe('installed without any client library', () => {
  test('brings none with it', () => {
    const peers = Object.keys(manifest.peerDependencies)
    expect(readdirSync(join(folder, 'node_modules')).filter(name => peers.includes(name))).toEqual([])
  })

  test('every subpath can be imported, but for those of frameworks; a client is asked for when it is needed', async () => {
    const { names, held, code } = JSON.parse(await run(process.execPath, ['esm.mjs', ...alone]))
    expect(Object.keys(names)).toEqual(alone)
    expect(names['soloist/redis']).toContain('redisBackend')
    expect(held).toBe(true)
    expect(code).toBe('BACKEND_UNAVAILABLE')
  })

  test('and required', async () => {
    const required = JSON.parse(await run(process.execPath, ['cjs.cjs', ...alone]))
    expect(Object.keys(required)).toEqual(alone)
    expect(required.soloist).toContain('connect')
  })

  test('there is one instance of it, whichever way it is loaded', async () => {
    for (const main of ['one-instance.mjs', 'one-instance.cjs']) {
      expect(JSON.parse(await run(process.execPath, [main]))).toEqual({ sameError: true, sameHolder: true })
    }
  })

  test('its types are whole', async () => {
    const compilerOptions = {
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      typeRoots: [join(root, 'node_modules', '@types')],
      types: ['node'],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['types.ts'] }))
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    await expect(run(process.execPath, [tsc, '-p', folder])).resolves.toBe('')
  })

  test('the command runs', async () => {
    await expect(run('npx', ['--no', 'soloist', '--', '--version'])).resolves.toBe(manifest.version)
  })
})

test('installed for all users beside ioredis, the command works as docs/cli.md says', {
  timeout: INSTALL_MS,
}, async () => {
  const prefix = join(folder, 'global')
  const ioredis = `ioredis@${manifest.devDependencies.ioredis}`
  await install('--global', '--prefix', prefix, `./${packed.filename}`, ioredis)
  const soloist = join(prefix, 'bin', 'soloist')
  const store = ['--store', String(process.env.SOLOIST_TEST_REDIS), '--key-prefix', `t${process.pid}:`]
  const command = ['sh', '-c', 'echo "$SOLOIST_LOCK ran"']
  await expect(run(soloist, ['run', 'job', ...store, '--', ...command])).resolves.toBe('job ran')
  await expect(run(soloist, ['ls', ...store, '--json'])).resolves.toBe('{"locks":[]}')
})

test('installed beside node-redis alone, a URL is refused with the way that works', async () => {
  addBeside(['redis'])
  const { refusal, owner, shown } = JSON.parse(
    await run(process.execPath, ['node-redis.mjs', String(process.env.SOLOIST_TEST_REDIS)]),
  )
  expect(refusal.code).toBe('BACKEND_UNAVAILABLE')
  expect(refusal.message).toContain('"redis" is installed')
  expect(refusal.message).toContain('connect(redisBackend(client))')
  expect(shown).toEqual([owner])
})

test('installed beside the client libraries it works with Redis and SQLite', async () => {
  addBeside(['ioredis', 'libsql'])
  for (const url of [String(process.env.SOLOIST_TEST_REDIS), 'sqlite:locks.db']) {
    const { shown, owner } = JSON.parse(await run(process.execPath, ['store.mjs', url]))
    expect(shown).toEqual([owner])
  }
})

test('installed beside the framework its adapter can be imported and required', async () => {
  addBeside(['ioredis', 'bullmq'])
  const code = `import(${JSON.stringify(BULLMQ)}).then(adapter => console.log(typeof adapter.SingletonQueue))`
  await expect(run(process.execPath, ['--input-type=module', '--eval', code])).resolves.toBe('function')
  const required = JSON.parse(await run(process.execPath, ['cjs.cjs', BULLMQ]))
  expect(required[BULLMQ]).toEqual(expect.arrayContaining(['SingletonQueue', 'SingletonWorker']))
})

test('without NestJS, or beside one that is too old, its adapter says so when it is loaded', {
  timeout: INSTALL_MS,
}, async () => {
  expect(await refusalOf(NEST)).toContain('soloist/nest needs the package "@nestjs/common", which cannot be loaded')
  const nest = ['@nestjs/common', '@nestjs/core']
  addBeside(nest, refused(...nest.map(name => `${name}@10.4.22`), 'reflect-metadata', 'rxjs'))
  const refusal = await refusalOf(NEST)
  expect(refusal).toContain('@nestjs/common 10.4.22 is installed, which is too old')
  expect(refusal).toContain("code: 'BACKEND_UNAVAILABLE'")
})

test('beside NestJS, but without croner, an application with cron jobs says so at start', async () => {
  addBeside(['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'])
  expect(JSON.parse(await run(process.execPath, ['nest.cjs']))).toEqual({
    code: 'BACKEND_UNAVAILABLE',
    message: expect.stringContaining('"croner", which cannot be loaded: install it'),
  })
})

test('a BullMQ that is too old is refused when the adapter is loaded', { timeout: INSTALL_MS }, async () => {
  addBeside(['bullmq'], refused('bullmq@5.57.0'))
  const refusal = await refusalOf(BULLMQ)
  expect(refusal).toContain(`bullmq 5.57.0 is installed`)
  expect(refusal).toContain(`bullmq ${manifest.peerDependencies.bullmq} is supported`)
  expect(refusal).toContain("code: 'BACKEND_UNAVAILABLE'")
})

/** What Node prints when a subpath cannot be loaded: the same by `import` and by `require`, but for where. */
async function refusalOf(specifier: string): Promise<string> {
  const printed: string[] = []
  for (const [type, code] of [
    ['module', `import ${JSON.stringify(specifier)}`],
    ['commonjs', `require(${JSON.stringify(specifier)})`],
  ]) {
    const { stderr } = await run(process.execPath, [`--input-type=${type}`, '--eval', String(code)]).then(
      () => expect.fail('it was loaded'),
      (failure: { stderr: string }) => failure,
    )
    printed.push(stderr)
  }
  const [one = '', two = ''] = printed.map(stderr => /^SoloistError: .*/m.exec(stderr)?.[0])
  expect(one).not.toBe('')
  expect(one).toBe(two)
  return String(printed[0])
}
