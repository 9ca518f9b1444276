// Guards invariants S1, S2, L2 and L3 of docs/guarantees.md.
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { makePlan, type Store } from './plan.js'
import { keep, run } from './run.js'

const { SOLOIST_SOAK_MINUTES, SOLOIST_SOAK_STORES, SOLOIST_TEST_SEED } = process.env
/** Set it to a seed that was printed to make the same plan. What comes of it is not the same: the processes are real. */
const seed = Number(SOLOIST_TEST_SEED ?? Date.now() % 2 ** 31)
const forMs = SOLOIST_SOAK_MINUTES === undefined ? 9_000 : Number(SOLOIST_SOAK_MINUTES) * 60_000
const stores = (SOLOIST_SOAK_STORES ?? 'redis,sqlite').split(',') as Store[]
/** Where a run that failed is kept: its plan, its history, the logs and a page that shows it. */
const KEPT = fileURLToPath(new URL('../../.chaos', import.meta.url))

vi.setConfig({ testTimeout: forMs + 120_000 })

describe.concurrent('eight processes and five locks, with a fault every second', () => {
  it.each(stores)('on %s never hold together what excludes each other', async store => {
    const folder = join(tmpdir(), `soloist-chaos-${process.pid}-${store}`)
    const plan = makePlan(store, seed, forMs)
    let failed = true
    try {
      const { report } = await run(plan, folder)
      console.log(`${store}: seed ${seed}, ${forMs / 1_000} s`, JSON.stringify(report.counts))
      expect(report.violations.slice(0, 20)).toEqual([])
      failed = false
    } finally {
      if (failed) {
        const kept = join(KEPT, `${store}-${seed}`)
        await keep(folder, kept)
        console.log(`the run is kept: ${kept}, and judged again by: npm run judge -- ${kept}`)
      }
      await rm(folder, { recursive: true, force: true })
    }
  })
})
