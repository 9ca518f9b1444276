import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { type ConnectOptions, connect, jobKey, jobLockNames, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bench, type Ended, finished, lines, useBench } from './support.js'

const bench = useBench()

type UrlOf = (on: Bench) => string | undefined
const FILE = 'the default file'
const STORES: readonly [string, UrlOf][] = [
  ['Redis', () => String(process.env.SOLOIST_TEST_REDIS)],
  ['an SQLite file', on => on.store],
  [FILE, () => undefined],
]

describe.each(STORES)('the key prefix on %s', (store, urlOf) => {
  /** Nobody else on the server has names that start so. */
  let own: string
  let prefix: string
  let opened: Soloist[]
  /** The application. */
  let app: Soloist

  beforeEach(() => {
    own = `t${randomUUID().slice(0, 8)}`
    prefix = `${own}:app*:`
    opened = []
    app = open({ prefix })
  })
  afterEach(() => Promise.all(opened.map(solo => solo.close())))

  function open(options: ConnectOptions): Soloist {
    const url = urlOf(bench()) ?? `sqlite:${join(bench().folder, 'state', 'soloist', 'soloist.db')}`
    const solo = connect(url, options)
    opened.push(solo)
    return solo
  }

  function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    return bench().startIn({ SOLOIST_URL: urlOf(bench()), ...env }, [...args])
  }

  async function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
    return await finished(start(args, env))
  }

  /** Who holds what, as `ls` with these arguments tells. */
  async function held(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Record<string, string>> {
    const { exitCode, stdout } = await run(['ls', own, '--json', ...args], env)
    expect(exitCode).toBe(0)
    const locks: { name: string; holders: { owner: string }[] }[] = JSON.parse(stdout).locks
    return Object.fromEntries(locks.map(({ name, holders }) => [name, holders.map(({ owner }) => owner).join()]))
  }

  async function ownerOf(solo: Soloist, name: string): Promise<string | undefined> {
    return (await solo.inspect(name))?.holders[0]?.owner
  }

  test('ls, get and watch see the locks of this prefix, and no others', async () => {
    const other = open({})
    const here = await app.lock(`${own}-a`)
    const there = await other.lock(`${own}-b`)
    expect(await held(['--key-prefix', prefix])).toEqual({ [here.name]: here.owner })
    expect(await held(['--key-prefix', 'soloist:'])).toEqual({ [there.name]: there.owner })
    expect(await held()).toEqual({ [there.name]: there.owner })

    const found = await run(['get', here.name, '--json', '--key-prefix', prefix])
    expect([found.exitCode, JSON.parse(found.stdout).holders[0].owner]).toEqual([0, here.owner])
    expect(await run(['get', here.name, '--json'])).toMatchObject({ exitCode: 1, stdout: 'null\n' })

    const watching = start(['watch', own, '--json', '--key-prefix', prefix])
    await watching.printed('\n')
    const [first] = lines(watching.stdout)
    watching.kill()
    expect(JSON.parse(String(first)).locks).toMatchObject([{ name: here.name, holders: [{ owner: here.owner }] }])
  })

  // Which file it is makes no difference to the rest.
  if (store === FILE) return

  test('SOLOIST_KEY_PREFIX is the default, and an empty one counts as not set', async () => {
    const other = open({})
    const none = open({ prefix: '' })
    const here = await app.lock(`${own}-a`)
    const there = await other.lock(`${own}-b`)
    const bare = await none.lock(`${own}-c`)
    expect(await held([], { SOLOIST_KEY_PREFIX: prefix })).toEqual({ [here.name]: here.owner })
    expect(await held([], { SOLOIST_KEY_PREFIX: '' })).toEqual({ [there.name]: there.owner })
    expect(await held(['--key-prefix', 'soloist:'], { SOLOIST_KEY_PREFIX: prefix })).toEqual({
      [there.name]: there.owner,
    })
    expect(await held(['--key-prefix', ''], { SOLOIST_KEY_PREFIX: prefix })).toMatchObject({ [bare.name]: bare.owner })
    expect((await run(['get', bare.name], { SOLOIST_KEY_PREFIX: '' })).exitCode).toBe(1)
    expect((await run(['get', bare.name, '--key-prefix', ''])).exitCode).toBe(0)
  })

  test('run is kept out by the application, keeps it out, and leaves its CMD the environment as it was', async () => {
    const name = `${own}-job`
    const lease = await app.lock(name)
    const busy = await run(['run', name, '--key-prefix', prefix, '--', 'echo', 'ran'])
    expect([busy.exitCode, busy.stdout]).toEqual([75, ''])
    expect(busy.stderr).toContain(`held by ${lease.owner}`)
    expect(await run(['run', name, '--quiet', '--', 'echo', 'ran'])).toEqual({
      exitCode: 0,
      stdout: 'ran\n',
      stderr: '',
    })
    expect(await ownerOf(app, name)).toBe(lease.owner)
    await lease.release()

    const cmd = ['--', 'sh', '-c', 'echo "$SOLOIST_OWNER" $(printenv SOLOIST_KEY_PREFIX || echo unset); cat']
    const inherited = start(['run', name, ...cmd], { SOLOIST_KEY_PREFIX: prefix })
    await inherited.printed('\n')
    const owner = await ownerOf(app, name)
    expect(owner).toContain(`:${inherited.pid}:`)
    expect(lines(inherited.stdout)).toEqual([`${owner} ${prefix}`])
    expect(await app.tryLock(name)).toBeNull()
    expect(await ownerOf(open({}), name)).toBeUndefined()
    expect((await finished(inherited)).exitCode).toBe(0)

    const option = start(['run', name, '--key-prefix', prefix, ...cmd])
    await option.printed('\n')
    expect(lines(option.stdout)).toEqual([`${await ownerOf(app, name)} unset`])
    expect(await ownerOf(app, name)).toContain(`:${option.pid}:`)
  })

  test('unlock and clear take locks of this prefix away, and no others', async () => {
    const other = open({})
    const [a, b] = [await app.lock(`${own}-a`), await app.lock(`${own}-b`)]
    const there = await other.lock(a.name)
    expect((await run(['unlock', b.name, '--force'])).exitCode).toBe(1)
    expect(await ownerOf(app, b.name)).toBe(b.owner)
    const unlocked = await run(['unlock', a.name, '--force', '--json', '--key-prefix', prefix])
    expect(JSON.parse(unlocked.stdout).removed).toMatchObject([{ owner: a.owner }])
    expect(await ownerOf(app, a.name)).toBeUndefined()
    expect(await ownerOf(other, a.name)).toBe(there.owner)

    const cleared = await run(['clear', '--all', '--yes', '--key-prefix', prefix])
    expect(cleared).toMatchObject({ exitCode: 0, stdout: '1 lock cleared\n' })
    expect(await ownerOf(app, b.name)).toBeUndefined()
    expect(await ownerOf(other, a.name)).toBe(there.owner)
    expect((await run(['clear', own, '--yes'])).stdout).toBe('1 lock cleared\n')
  })

  test('jobs and jobs release work on the jobs of this prefix, and no others', async () => {
    const { trigger } = jobLockNames(`${own}-job`, jobKey(1))
    await app.jobs.take(trigger, 'me')
    await open({}).jobs.take(trigger, 'other')
    const listed = await run(['jobs', own, '--json', '--key-prefix', prefix])
    expect(JSON.parse(listed.stdout).jobs.map(({ owner }: { owner: string }) => owner)).toEqual(['me'])
    const released = await run(['jobs', 'release', trigger, '--yes', '--key-prefix', prefix])
    expect(released.exitCode).toBe(0)
    expect(await app.jobs.holder(trigger)).toBeNull()
    const left = await run(['jobs', own, '--json'])
    expect(JSON.parse(left.stdout).jobs.map(({ owner }: { owner: string }) => owner)).toEqual(['other'])
    await open({}).clear(trigger)
  })
})

test('clear --all is refused with the empty prefix, with which any string looks like a lock', async () => {
  const url = String(process.env.SOLOIST_TEST_REDIS)
  const redis = new Redis(url)
  const key = `no lock ${randomUUID()}`
  await redis.set(key, 'value')
  const refused = await bench().run('clear', '--all', '--yes', '--key-prefix', '', '--store', url)
  expect(refused.exitCode).toBe(2)
  expect(lines(refused.stderr)).toEqual([expect.stringContaining('--key-prefix')])
  expect(await redis.get(key)).toBe('value')
  await redis.quit()
})

test.each([
  ['ioredis', (url: string, keyPrefix: string) => new Redis(url, { keyPrefix })],
  ['node-redis', (url: string, keyPrefix: string) => createClient({ url, keyPrefix })],
])('the key prefix of a client of %s comes before that of the locks', async (_, clientOf) => {
  const url = String(process.env.SOLOIST_TEST_REDIS)
  const own = `t${randomUUID().slice(0, 8)}:`
  const client = clientOf(url, own)
  if (!(client instanceof Redis)) await client.connect()
  try {
    await using app = connect(redisBackend(client, { prefix: 'locks:' }))
    const lease = await app.lock('job')
    const args = ['--store', url, '--key-prefix', `${own}locks:`]
    const { exitCode, stdout } = await bench().run('get', 'job', '--json', ...args)
    expect([exitCode, JSON.parse(stdout).holders[0].owner]).toEqual([0, lease.owner])
    expect((await bench().run('run', 'job', ...args, '--', 'true')).exitCode).toBe(75)
  } finally {
    await (client instanceof Redis ? client.quit() : client.close())
  }
})
