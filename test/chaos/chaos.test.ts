// Guards invariants S1, S2, L2, L3, H1, H2, J1, J2, J4 and J8 of docs/guarantees.md.
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { makePlan, type Store } from './plan.js'
import { keep, run } from './run.js'

const { SOLOIST_SOAK_MINUTES, SOLOIST_SOAK_STORES, SOLOIST_SOAK_LOAD, SOLOIST_SOAK_EVERY, SOLOIST_SOAK_RESULT } =
  process.env
const { SOLOIST_TEST_SEED } = process.env
/** Set it to a seed that was printed to make the same plan. What comes of it is not the same: the processes are real. */
const seed = Number(SOLOIST_TEST_SEED ?? Date.now() % 2 ** 31)
const forMs = SOLOIST_SOAK_MINUTES === undefined ? 9_000 : Number(SOLOIST_SOAK_MINUTES) * 60_000
const load = SOLOIST_SOAK_LOAD === undefined ? null : Number(SOLOIST_SOAK_LOAD)
const everyMs = SOLOIST_SOAK_EVERY === undefined ? undefined : Number(SOLOIST_SOAK_EVERY) * 1_000
const stores = (SOLOIST_SOAK_STORES ?? 'redis,sqlite').split(',') as Store[]
/** Where a run that failed is kept: its plan, its history, the logs and a page that shows it. */
const KEPT = fileURLToPath(new URL('../../.chaos', import.meta.url))

/** What an accepted trigger may be told instead of a run: its own process had lost the lease of that. */
const MAY_BE_TOLD = ['LAPSED', 'LEASE_LOST']

// A long history takes a while to be judged.
vi.setConfig({ testTimeout: 2 * forMs + 120_000 })

describe.concurrent('eight processes, five locks and five jobs, with a fault every second', () => {
  it.each(stores)('on %s never hold together what excludes each other', async store => {
    const folder = join(tmpdir(), `soloist-chaos-${process.pid}-${store}`)
    const plan = makePlan(store, seed, forMs, load, everyMs)
    let failed = true
    try {
      const { report, left, version } = await run(plan, folder, line => console.log(`${store}: ${line}`))
      const { violations, counts } = report
      console.log(`${store}: seed ${seed}, ${forMs / 1_000} s, ${version}`, JSON.stringify(counts))
      if (SOLOIST_SOAK_RESULT !== undefined) {
        const kinds = violations.map(({ kind }) => kind)
        const { version: node } = process
        await writeFile(
          SOLOIST_SOAK_RESULT,
          JSON.stringify({ store, seed, forMs, load, version, node, counts, kinds, left }),
        )
      }
      expect(violations.slice(0, 20)).toEqual([])
      expect(Object.keys(counts.told).filter(code => !MAY_BE_TOLD.includes(code))).toEqual([])
      expect(left).toEqual([])
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
