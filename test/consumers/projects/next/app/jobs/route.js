import { SingletonQueue } from 'soloist/bullmq'

export const dynamic = 'force-dynamic'

const { REDIS_URL: url, PREFIX: prefix } = process.env
const { hostname: host, port } = new URL(url ?? 'redis://127.0.0.1:6379')

/** Adds a job, and answers what became of that. */
export async function POST(request) {
  const queue = new SingletonQueue('sync', {
    connection: { host, port: Number(port) },
    prefix: `${prefix}bull`,
    singleton: { prefix, jobs: { account: {} } },
  })
  try {
    const job = await queue.add('account', await request.json())
    return Response.json({ id: job.id, status: job.singleton.status })
  } finally {
    await queue.close()
  }
}
