import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as open, type Socket } from 'node:net'
import pg from 'pg'
import { connect } from 'soloist'
import { postgresBackend } from 'soloist/postgres'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { newSchema, openPool, url } from './support.js'

/** Silence is noticed after 10 seconds, by each of two calls at a time; a busy machine needs longer. */
const NOTICED_MS = 25_000

/** What lies between a client and the server. */
interface Network {
  readonly url: `postgres://${string}`
  readonly open: number
  /** How many pieces were not forwarded. */
  readonly swallowed: number
  /** Forwards nothing more for the connections that are open, and closes none. New ones work. */
  silence(): void
  /** The same, and new ones are silent from the start. */
  silenceAll(): void
  /** What the server sends through the next connection arrives in one piece, when the server has ended it. */
  holdNext(): void
  close(): void
}

async function startNetwork(): Promise<Network> {
  const server = new URL(url)
  const links = new Set<{ silent: boolean; ends: readonly Socket[] }>()
  let allSilent = false
  let swallowed = 0
  let holds = false
  const listener = createServer({ allowHalfOpen: true }, near => {
    const far = open({ host: server.hostname, port: Number(server.port) })
    const link = { silent: allSilent, ends: [near, far] }
    links.add(link)
    near.on('data', chunk => {
      if (link.silent) swallowed += 1
      else far.write(chunk)
    })
    const held: Buffer[] | null = holds ? [] : null
    holds = false
    far.on('data', chunk => {
      if (held !== null) held.push(chunk)
      else if (!link.silent) near.write(chunk)
    })
    far.on('end', () => held !== null && near.end(Buffer.concat(held)))
    near.on('end', () => link.silent || near.end())
    near.on('close', () => {
      links.delete(link)
      far.destroy()
    })
    far.on('close', () => link.silent || held !== null || near.destroy())
    for (const end of link.ends) end.on('error', () => {})
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const network: Network = {
    url: `postgres://${server.username}@127.0.0.1:${(listener.address() as AddressInfo).port}${server.pathname}`,
    get open() {
      return links.size
    },
    get swallowed() {
      return swallowed
    },
    silence() {
      for (const link of links) link.silent = true
    },
    silenceAll() {
      allSilent = true
      network.silence()
    },
    holdNext() {
      holds = true
    },
    close() {
      listener.close()
      for (const { ends } of links) for (const end of ends) end.destroy()
    },
  }
  afterAll(() => network.close())
  return network
}

test.for(['a URL', 'a pool of the application'])(
  'connections that fall silent are replaced, and what waits goes on: %s',
  { timeout: 60_000 },
  async kind => {
    const schema = newSchema()
    const network = await startNetwork()
    const pool = kind === 'a URL' ? null : openPool({ connectionString: network.url, max: 5 })
    await using other = connect(postgresBackend(url, { schema }))
    await using solo = connect(postgresBackend(pool ?? network.url, { schema }))
    const lease = await solo.lock('held', { ttlMs: 30_000 })
    solo.on('fault', () => {})
    const held = await other.lock('waited for')
    const granted = solo.lock('waited for')
    await expect.poll(async () => (await other.inspect('waited for'))?.waiting).toBe(1)
    const useAll = () => Promise.allSettled(Array.from({ length: 20 }, (_, i) => solo.inspect(`looked at ${i}`)))
    await useAll()
    await expect.poll(() => network.open).toBe(5)
    network.silence()
    void useAll()
    await held.release()
    assert.ok((await granted).fence > held.fence, 'who waited is granted')
    await expect
      .poll(() => solo.withLock('new', () => true).catch(error => error.code), { timeout: NOTICED_MS })
      .toBe(true)
    await lease.renew()
    assert.ok(lease.expiresAt.getTime() > Date.now(), 'a lease of 30 seconds was not lost')
  },
)

/** Takes a lock and says so. When it is told to, it asks for another; when it is told again, it closes, and is done. */
const CLOSING = `
  import { once } from 'node:events'
  import { connect } from 'soloist'
  import { postgresBackend } from 'soloist/postgres'
  const solo = connect(postgresBackend(process.argv[1], { schema: process.argv[2] }), { callTimeoutMs: 8_000 })
  solo.on('fault', () => {})
  await Promise.all([solo.withLock('taken', () => {}), solo.inspect('taken')])
  process.stdout.write('ready')
  await once(process.stdin, 'data')
  const call = solo.tryLock('asked for').catch(error => error.code)
  await once(process.stdin, 'data')
  process.stdin.destroy()
  await solo.close()
  process.stdout.write(' closed ' + await call)
`

test('close lets go of connections that do not answer, and the process ends', async () => {
  const network = await startNetwork()
  const child = spawn(process.execPath, ['--input-type=module', '-e', CLOSING, network.url, newSchema()])
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  child.stderr.pipe(process.stderr)
  await expect.poll(() => said).toBe('ready')
  network.silenceAll()
  child.stdin.write('ask')
  await expect.poll(() => network.swallowed).toBeGreaterThan(0)
  child.stdin.write('close')
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert.equal(said, 'ready closed CLOSED')
})

test('a server that answers late is met with more patience after each silence', { timeout: 60_000 }, async () => {
  const schema = newSchema()
  const start = async () => {
    const pool = openPool({ idleTimeoutMillis: 0 })
    let made = 0
    const solo = connect(postgresBackend(pool, { schema }), { callTimeoutMs: 60_000 })
    onTestFinished(() => solo.close())
    await solo.withLock('late', () => {})
    pool.on('connect', () => {
      made += 1
    })
    return { solo, made: () => made }
  }
  const [late, later] = [await start(), await start()]
  const blocker = new pg.Client(url)
  await blocker.connect()
  await blocker.query('BEGIN')
  await blocker.query(`LOCK TABLE ${schema}.lock IN ACCESS EXCLUSIVE MODE`)
  const taken = late.solo.lock('late')
  await expect.poll(late.made, { timeout: 20_000 }).toBe(1)
  // Its call is sent again now. Another client's patience, which begins now, is over before that.
  const other = later.solo.lock('other')
  await expect.poll(later.made, { timeout: 20_000 }).toBe(1)
  await blocker.query('COMMIT')
  await blocker.end()
  assert.ok((await taken).fence > 0)
  assert.ok((await other).fence > 0)
  assert.equal(late.made(), 1)
})

test.for(['a statement', 'listening'])(
  'a connection that is ended as soon as it is open is no uncaught exception: %s',
  async kind => {
    const network = await startNetwork()
    const name = newSchema()
    const options = { connectionString: network.url, application_name: name, max: 2 }
    const schema = newSchema()
    await using other = connect(postgresBackend(url, { schema }))
    await using solo = connect(postgresBackend(options, { schema }))
    solo.on('fault', () => {})
    const held = await other.lock('held')
    const isOpen = `FROM pg_stat_activity WHERE application_name = '${name}' AND state = 'idle'`
    const admin = openPool()
    if (kind === 'listening') await solo.tryLock('held')
    const before = (await admin.query(`SELECT pid ${isOpen}`)).rows.map(({ pid }) => pid)
    network.holdNext()
    const granted = solo.lock('held')
    const after = async () =>
      (await admin.query(`SELECT pid ${isOpen}`)).rows.filter(({ pid }) => !before.includes(pid))
    await expect.poll(async () => (await after()).length).toBe(1)
    for (const { pid } of await after()) await admin.query('SELECT pg_terminate_backend($1)', [pid])
    await held.release()
    assert.ok((await granted).fence > held.fence)
  },
)
