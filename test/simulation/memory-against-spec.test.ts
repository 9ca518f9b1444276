import { MemoryStore, memoryBackend } from 'soloist'
import { describe, expect, it } from 'vitest'
import { compare } from './compare.js'

const { SOLOIST_TEST_SEED, SOLOIST_SIMULATIONS } = process.env
const seed = Number(SOLOIST_TEST_SEED ?? 20_261_129)
const runs = Number(SOLOIST_SIMULATIONS ?? 4_000)

describe('the memory backend, step by step', () => {
  it('answers and holds what the specification says, for steps of all kinds', async () => {
    const kinds = await compare({ MemoryStore, memoryBackend }, { seed, runs })
    for (const kind of ['acquire', 'renew', 'release', 'trigger', 'begin']) {
      expect(kinds.get(kind) ?? 0, kind).toBeGreaterThan(runs)
    }
  })
})
