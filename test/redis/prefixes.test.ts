import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Soloist } from 'soloist'
import { afterAll, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'soloist-prefixes-'))
afterAll(() => rmSync(folder, { recursive: true }))

const stores: [string, string][] = [
  ['Redis', String(process.env.SOLOIST_TEST_REDIS)],
  ['SQLite', `sqlite:${join(folder, 'locks.db')}`],
]

async function names(solo: Soloist): Promise<string[]> {
  const listed: string[] = []
  for await (const { name } of solo.list()) listed.push(name)
  return listed.toSorted()
}

test.each(stores)('clients meet where one prefix begins with the other, on %s', async (_, url) => {
  const prefix = `${randomUUID()}:`
  await using outer = connect(url, { prefix })
  await using inner = connect(url, { prefix: `${prefix}staging:` })
  const lease = await inner.lock('a')
  expect(await outer.tryLock('staging:a')).toBeNull()
  // On Redis the fence is shown from the first renewal on.
  await lease.renew()
  expect((await outer.inspect('staging:a'))?.holders).toMatchObject([{ owner: lease.owner, fence: lease.fence }])
  const own = await outer.lock('b')
  expect(await names(outer)).toEqual(['b', 'staging:a'])
  expect(await names(inner)).toEqual(['a'])

  // One that waits is served by whoever releases.
  const waiting = outer.lock('staging:a')
  await expect.poll(async () => (await inner.inspect('a'))?.waiting).toBe(1)
  await lease.release()
  const next = await waiting
  expect((await inner.inspect('a'))?.holders).toMatchObject([{ owner: next.owner }])
  await next.release()

  const again = await inner.lock('a')
  expect(await outer.clear('')).toBe(2)
  await expect(again.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
  await expect(own.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
})

test.each(stores)('clients never meet where neither prefix begins with the other, on %s', async (_, url) => {
  const prefix = randomUUID()
  await using one = connect(url, { prefix: `${prefix}-prod:` })
  await using two = connect(url, { prefix: `${prefix}-staging:` })
  const first = await one.lock('a')
  const second = await two.lock('a')
  expect(await names(one)).toEqual(['a'])
  expect(await two.clear('')).toBe(1)
  await first.renew()
  expect((await one.inspect('a'))?.holders).toMatchObject([{ owner: first.owner }])
  await expect(second.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
})
