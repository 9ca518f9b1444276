import type { Backend } from '../backend.js'
import { invalidArgument } from '../errors.js'

/** The two functions of a test runner that the suite needs; those of vitest, jest and `node:test` fit as they are. */
export interface Runner {
  describe(name: string, body: () => void): unknown
  /** `timeoutMs` is how long the test may take; a runner without such an argument ignores it. */
  test(name: string, body: () => Promise<void>, timeoutMs: number): unknown
}

/** A new client of the datastore under test. */
export interface OpenedStore {
  readonly backend: Backend
  /** Lets go of what `open` made besides the backend, such as a connection. Called once, after `backend.close()`. */
  dispose?(): Promise<void>
}

/**
 * Opens a new client of the same datastore with every call, all whose keys and rows start with `prefix`: clients with
 * the same prefix share their locks; those of two prefixes neither of which starts with the other never meet.
 */
export type OpenStore = (options: { readonly prefix: string }) => Promise<OpenedStore>

/** What {@link conformance} is told about the backend under test. */
export interface ConformanceSetup {
  /** Names the backend in the runner's report. */
  readonly name: string
  readonly runner: Runner
  /**
   * How to open the datastore: the URL of a module that exports `open` ({@link OpenStore}) and that plain Node can
   * import, or, for a datastore that lives inside one process, such a function.
   */
  readonly store: URL | OpenStore
  /**
   * Lets `ms` milliseconds pass on the datastore's clock. Default: really waits. A datastore with a clock for tests
   * moves it here, and the suite takes no time.
   */
  readonly elapse?: ((ms: number) => Promise<void> | void) | undefined
  /**
   * Sets the datastore's clock forward by `ms` milliseconds, or back by a negative number, without time passing. Absent:
   * it cannot be set, and the guarantee of a clock that steps is not tested.
   */
  readonly stepClock?: ((ms: number) => Promise<void> | void) | undefined
  /**
   * Makes the datastore lose what it notes of this prefix's locks beside who holds them and who waits, as one does that
   * evicts keys. Absent: it cannot lose that alone, and the guarantee of lost details is not tested.
   */
  readonly loseDetails?: ((prefix: string) => Promise<void> | void) | undefined
}

/** The `open` of a setup's store. The module is imported when it is first needed. */
export function opener(store: URL | OpenStore): OpenStore {
  if (typeof store === 'function') return store
  if (!(store instanceof URL)) throw invalidArgument('store must be the URL of a module, or a function that opens it')
  return async options => await (await importStore(store.href)).open(options)
}

/** Imports a store module, and says so when it is none. */
export async function importStore(href: string): Promise<{ readonly open: OpenStore }> {
  const module = await import(href)
  if (typeof module.open !== 'function') throw invalidArgument(`the store module ${href} exports no function "open"`)
  return module
}
