import assert from 'node:assert/strict'
import { conformance, type OpenStore } from 'soloist/conformance'
import { describe, test } from 'vitest'
import { memoryStores } from '../stores/memory.js'
import { holding } from './mutants/holding.js'
import { broken, type Mutant, newShared, type Shared } from './mutants/mutant.js'
import { queueing } from './mutants/queueing.js'
import { showing } from './mutants/showing.js'

const mutants: readonly Mutant[] = [...queueing, ...holding, ...showing]

interface Registered {
  readonly guarantee: string
  readonly name: string
  readonly run: () => Promise<void>
}

/** What the suite registers for a datastore of this process. */
function collect(open: OpenStore, elapse: (ms: number) => void): readonly Registered[] {
  const registered: Registered[] = []
  const path: string[] = []
  const runner = {
    describe(name: string, body: () => void) {
      path.push(name)
      body()
      path.pop()
    },
    test(name: string, run: () => Promise<void>) {
      registered.push({ guarantee: String(path.at(-1)), name, run })
    },
  }
  conformance({ name: 'a collected backend', runner, store: open, elapse })
  return registered
}

/** What the suite registers for the memory backend with one fault. */
function collectBroken(mutant: Mutant): readonly Registered[] {
  const { open, elapse } = memoryStores()
  const shared = new Map<string, Shared>()
  return collect(async options => {
    const { backend } = await open(options)
    const ours = shared.get(options.prefix) ?? newShared()
    shared.set(options.prefix, ours)
    return { backend: broken(backend, mutant.change(backend, ours)) }
  }, elapse)
}

/** The first test that fails, and how. */
async function firstFailure(registered: readonly Registered[]): Promise<{ name: string; error: unknown } | null> {
  for (const { name, run } of registered) {
    try {
      await run()
    } catch (error) {
      return { name, error }
    }
  }
  return null
}

describe('the suite', () => {
  test('finds nothing wrong with a right backend', async () => {
    const { open, elapse } = memoryStores()
    const registered = collect(open, elapse)
    assert.ok(registered.length > 90, `only ${registered.length} tests were registered`)
    assert.equal(await firstFailure(registered), null)
  })

  test('finds nothing wrong with a right backend behind the wrapper of the broken ones', async () => {
    assert.equal(await firstFailure(collectBroken({ fault: 'none', caughtBy: '', change: () => ({}) })), null)
  })

  test('has a fault to find for each of its guarantees', () => {
    const { open, elapse } = memoryStores()
    const guarantees = new Set(collect(open, elapse).map(({ guarantee }) => guarantee))
    assert.deepEqual(new Set(mutants.map(({ caughtBy }) => caughtBy)), guarantees)
  })

  for (const mutant of mutants) {
    test(`finds by its tests of ${mutant.caughtBy}: ${mutant.fault}`, async () => {
      const guarantee = collectBroken(mutant).filter(registered => registered.guarantee === mutant.caughtBy)
      const failure = await firstFailure(guarantee)
      assert.ok(failure !== null, `no test of "${mutant.caughtBy}" failed`)
      // An assertion noticed, not an accident of the broken backend.
      assert.ok(failure.error instanceof assert.AssertionError, `${failure.name}: ${failure.error}`)
    })
  }
})
