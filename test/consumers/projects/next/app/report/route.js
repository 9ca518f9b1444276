import { connect, LockTimeoutError } from 'soloist'

const solo = connect(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')

export async function POST() {
  try {
    return await solo.withLock('report', { waitMs: 0 }, async ({ owner }) => Response.json({ owner }))
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error
    return Response.json({ heldBy: error.holder }, { status: 409 })
  }
}
