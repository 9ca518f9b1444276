import { type ConformanceSetup, conformance } from 'soloist/conformance'

/** One test of the suite, not run by a runner. */
export interface Registered {
  readonly guarantee: string
  readonly name: string
  readonly run: () => Promise<void>
}

/** What the suite registers for a datastore. */
export function collect(
  store: ConformanceSetup['store'],
  time: Pick<ConformanceSetup, 'elapse' | 'stepClock'> = {},
): readonly Registered[] {
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
  conformance({ name: 'a collected backend', runner, store, ...time })
  return registered
}

/** The first test that fails, and how. */
export async function firstFailure(
  registered: readonly Registered[],
): Promise<{ readonly name: string; readonly error: unknown } | null> {
  for (const { name, run } of registered) {
    try {
      await run()
    } catch (error) {
      return { name, error }
    }
  }
  return null
}
