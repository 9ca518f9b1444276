import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test, vi } from 'vitest'
import { drivers, temporaryFolder } from '../sqlite/support.js'
import { memoryStores } from '../stores/memory.js'
import { collect, firstFailure, type Registered } from './mutants/collect.js'
import { displacing } from './mutants/displacing.js'
import { holding } from './mutants/holding.js'
import { leaving } from './mutants/leaving.js'
import { listing } from './mutants/listing.js'
import { broken, type Mutant, newShared, type Shared } from './mutants/mutant.js'
import { queueing } from './mutants/queueing.js'
import { runs } from './mutants/runs.js'
import { showing } from './mutants/showing.js'

// They share one process, and each computes.
vi.setConfig({ testTimeout: 120_000 })

const mutants: readonly Mutant[] = [...queueing, ...listing, ...holding, ...leaving, ...runs, ...displacing, ...showing]

/** What the suite registers for the memory backend with one fault. */
function collectBroken(mutant: Mutant): readonly Registered[] {
  const { open, ...time } = memoryStores()
  const shared = new Map<string, Shared>()
  return collect(async options => {
    const { backend } = await open(options)
    const ours = shared.get(options.prefix) ?? newShared()
    shared.set(options.prefix, ours)
    return { backend: broken(backend, ours, mutant.change) }
  }, time)
}

describe.concurrent('the suite', () => {
  test('finds nothing wrong with a right backend', async () => {
    const { open, ...time } = memoryStores()
    const registered = collect(open, time)
    assert.ok(registered.length > 200, `only ${registered.length} tests were registered`)
    assert.equal(await firstFailure(registered), null)
  })

  test('finds nothing wrong with a right backend behind the wrapper of the broken ones', async () => {
    assert.equal(await firstFailure(collectBroken({ fault: 'none', caughtBy: '', change: () => ({}) })), null)
  })

  test('has a fault to find for each of its guarantees', () => {
    const { open, ...time } = memoryStores()
    const guarantees = new Set(collect(open, time).map(({ guarantee }) => guarantee))
    assert.deepEqual(new Set(mutants.map(({ caughtBy }) => caughtBy)), guarantees)
  })

  test('asks for other processes exactly when they can open the datastore', () => {
    const { open, ...time } = memoryStores()
    const inProcess = collect(open, time)
    const shared = collect(new URL('file:///any'), time)
    assert.equal(inProcess.filter(({ guarantee }) => guarantee === 'processes').length, 0)
    assert.ok(shared.filter(({ guarantee }) => guarantee === 'processes').length >= 5)
    assert.deepEqual(
      shared.filter(({ guarantee }) => guarantee !== 'processes').map(({ name }) => name),
      inProcess.map(({ name }) => name),
    )
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

describe.concurrent('the processes of the suite', () => {
  const path = join(temporaryFolder(), 'broken.db')
  const driver = drivers[0] as string
  const faults = {
    strangers: 'processes take turns on one lock',
    crowd: 'processes share a semaphore up to its limit',
    careless: 'a holder that is paused past its ttl is succeeded, knows it when it wakes, and changes nothing',
  }

  for (const [fault, name] of Object.entries({ none: undefined, ...faults })) {
    const store = new URL(`../stores/sqlite-broken.js?${new URLSearchParams({ path, driver, fault })}`, import.meta.url)
    const tests = collect(store).filter(registered => registered.guarantee === 'processes')

    if (name === undefined) {
      test('find nothing wrong with a right backend', async () => {
        const failures = await Promise.all(tests.map(each => firstFailure([each])))
        assert.deepEqual(
          failures,
          tests.map(() => null),
        )
      })
    } else {
      test(`find by "${name}": ${fault}`, async () => {
        const failure = await firstFailure(tests.filter(registered => registered.name === name))
        assert.ok(failure !== null, 'the test did not fail')
        assert.ok(failure.error instanceof assert.AssertionError, `${failure.error}`)
      })
    }
  }
})
