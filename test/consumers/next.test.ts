import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Child } from '../support/child.js'
import { freePort } from '../support/redis-server.js'
import { Site } from './support/expected.js'
import { Folder } from './support/folder.js'
import { Project } from './support/project.js'

const READY_MS = 60_000

let project: Project
let built: { readonly stdout: string; readonly stderr: string }
let site: Site
let deployed: Folder
let server: Child
let address: string

beforeAll(async () => {
  project = new Project('next')
  site = await Site.open()
  // As an image is built: it is not known yet where Redis is.
  built = await project.run(project.bin('next'), ['build'], { NEXT_TELEMETRY_DISABLED: '1' })
  // As a container has it: nothing of the project but what the build put there.
  deployed = new Folder('next-deployed', project.path('.next', 'standalone'))
  const port = await freePort()
  server = deployed.start(process.execPath, ['server.js'], {
    ...site.env,
    HOSTNAME: '127.0.0.1',
    PORT: `${port}`,
  })
  address = `http://127.0.0.1:${port}`
  await served()
})

afterAll(async () => {
  await deployed?.[Symbol.asyncDispose]()
  await project?.[Symbol.asyncDispose]()
  await site?.[Symbol.asyncDispose]()
})

async function served(): Promise<void> {
  const deadline = performance.now() + READY_MS
  while (!(await answers())) {
    if (performance.now() > deadline) throw new Error(`next start does not serve:\n${server.stdout}${server.stderr}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

async function answers(): Promise<boolean> {
  try {
    return (await fetch(address)).ok
  } catch {
    // Not yet: the caller asks again until its time is up.
    return false
  }
}

async function post(path: string, body: unknown): Promise<unknown> {
  const response = await fetch(address + path, { method: 'POST', body: JSON.stringify(body) })
  const text = await response.text()
  try {
    return { status: response.status, body: JSON.parse(text) }
  } catch {
    return { status: response.status, body: text, server: server.stdout + server.stderr }
  }
}

describe('Next 15, built with webpack', () => {
  it('is built without a warning', () => {
    // Each warning begins with the file it is about; BullMQ asks for a client that is not installed.
    const files = `${built.stdout}${built.stderr}`.matchAll(/^(\.\/\S+)\n(?=[^.\s])/gm)
    const packages = [...files].map(([, path]) => /\/node_modules\/([^/]+)\//.exec(String(path))?.[1])
    expect(new Set(packages)).toEqual(new Set(['bullmq']))
  })

  it.each(['url', 'client'])('serves a route that takes a lock by a %s', async by => {
    const answer = await post('/lock', { name: 'report', by })
    expect(answer).toEqual({
      status: 200,
      body: { owner: expect.any(String), shown: expect.any(Array), redis: expect.any(String) },
    })
    const { owner, shown, redis } = (answer as { body: { owner: string; shown: string[]; redis: string } }).body
    expect([...shown, redis]).toEqual([owner, owner])
  })

  it.each(['url', 'client'])('serves a route that is refused a lock somebody else holds, by a %s', async by => {
    expect(await post('/lock', { name: 'busy', by })).toEqual({ status: 409, body: { holder: site.busyOwner } })
  })

  it('serves the route of the docs', async () => {
    const solo = connect(site.url)
    const lease = await solo.lock('report')
    expect(await post('/report', {})).toEqual({ status: 409, body: { heldBy: lease.owner } })
    await lease.release()
    expect(await post('/report', {})).toMatchObject({ status: 200, body: { owner: expect.stringMatching(/\S/) } })
    expect(await solo.inspect('report')).toBe(null)
    await solo.close()
  })

  it('serves a route that adds a job once', async () => {
    const first = await post('/jobs', { accountId: 7 })
    expect(first).toEqual({ status: 200, body: { id: expect.any(String), status: 'started' } })
    const { id } = (first as { body: { id: string } }).body
    expect(await post('/jobs', { accountId: 7 })).toEqual({ status: 200, body: { id, status: 'duplicate' } })

    const solo = connect(site.url, { prefix: site.prefix })
    const plain = new Redis(site.url)
    const owners: (string | null)[] = []
    for await (const { name, holders } of solo.jobs.list()) {
      owners.push(...holders.map(({ owner }) => owner), await plain.get(`${site.prefix}${name}`))
    }
    await solo.close()
    plain.disconnect()
    const owner = `bullmq:${site.prefix}bull:sync:${id}`
    expect(owners).toEqual([owner, owner])
  })

  it('ends when it is told to, since nothing is left open', async () => {
    server.end('SIGTERM')
    expect(await server.ended).toMatchObject({ signal: null })
  })
})
