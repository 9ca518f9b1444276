import { type Backend, type ConnectOptions, connect, type Soloist } from '../../index.js'
import { checkMs, checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { loadNestCore } from '../../internal/peers/nest.js'
import { type Discovery, Lifecycle } from './lifecycle.js'
import { refused } from './method.js'
import { checkSoloistName, getSoloistToken } from './tokens.js'

const { DiscoveryModule, DiscoveryService } = loadNestCore()

/** How long what is held may take to end by itself when the application does not say. */
const DEFAULT_DRAIN_MS = 10_000

/** What a `SoloistModule` connects to, and how. Every field is optional; those of `connect` are as there. */
export interface SoloistModuleOptions extends ConnectOptions {
  /** The store, as for `connect`: a URL or a backend; default: `SOLOIST_URL`, else the file of `defaultUrl`. */
  readonly store?: string | Backend | undefined
  /**
   * How long what is under way may take to end by itself, in milliseconds; default 10,000, at most 24 days. It counts from
   * when Nest has called all `beforeApplicationShutdown` hooks. Then signals fire, and what waits is `CLOSED`.
   */
  readonly drainMs?: number | undefined
}

/** With which name a `Soloist` is injected. */
interface Named {
  /** For `@InjectSoloist(name)` and the option `soloist` of the decorators; default: none. One may be without a name. */
  readonly name?: string | undefined
}

/** The options of {@link SoloistModule.forRoot}. */
export interface SoloistRootOptions extends SoloistModuleOptions, Named {}

/** The options of {@link SoloistModule.forRootAsync}. */
export interface SoloistRootAsyncOptions extends Named {
  /** Modules that export what `inject` names. */
  // biome-ignore lint/suspicious/noExplicitAny: what Nest takes as a module
  readonly imports?: any[] | undefined
  /** What the factory is given. */
  // biome-ignore lint/suspicious/noExplicitAny: what Nest takes as a token
  readonly inject?: any[] | undefined
  // biome-ignore lint/suspicious/noExplicitAny: what Nest injects
  readonly useFactory: (...injected: any[]) => SoloistModuleOptions | Promise<SoloistModuleOptions>
}

/** What Nest calls a `DynamicModule`. */
export interface SoloistDynamicModule {
  module: typeof SoloistModule
  global: true
  // biome-ignore lint/suspicious/noExplicitAny: what Nest takes as a module
  imports: any[]
  // biome-ignore lint/suspicious/noExplicitAny: what Nest takes as a provider
  providers: any[]
  // biome-ignore lint/suspicious/noExplicitAny: what Nest takes as a token
  exports: any[]
}

const MODULE_NAMES: OptionNames<SoloistModuleOptions> = {
  ...{ store: true, drainMs: true },
  ...{ prefix: true, hashTags: true, restartGuardMs: true, callTimeoutMs: true, clock: true, random: true },
}
const ROOT_NAMES: OptionNames<SoloistRootOptions> = { ...MODULE_NAMES, name: true }
const ASYNC_NAMES: OptionNames<SoloistRootAsyncOptions> = { name: true, imports: true, inject: true, useFactory: true }

/**
 * Gives an application of Nest its `Soloist`, checks its decorated methods at start, and closes it at the end. It is global:
 * import it once, in the root module, before modules that take locks while they end.
 */
// biome-ignore lint/complexity/noStaticOnlyClass: Nest knows a module by its class
export class SoloistModule {
  /** @throws SoloistError `INVALID_ARGUMENT` for an option there is not; what else is wrong is told at start */
  static forRoot(options: SoloistRootOptions = {}): SoloistDynamicModule {
    checkOptions(options)
    checkOptionNames(options, ROOT_NAMES)
    const { name, ...rest } = options
    checkDrain(rest)
    return moduleOf({ name, useFactory: () => rest })
  }

  /** @throws SoloistError `INVALID_ARGUMENT` for an option there is not; what else is wrong is told at start */
  static forRootAsync(options: SoloistRootAsyncOptions): SoloistDynamicModule {
    checkOptions(options)
    checkOptionNames(options, ASYNC_NAMES)
    if (typeof options.useFactory !== 'function') throw refused('forRootAsync needs useFactory, a function')
    return moduleOf(options)
  }
}

function moduleOf({ name, imports = [], inject = [], useFactory }: SoloistRootAsyncOptions): SoloistDynamicModule {
  if (name !== undefined) checkSoloistName(name)
  const token = getSoloistToken(name)
  const [optionsToken, lifecycleToken] = ['options', 'lifecycle'].map(part => Symbol(`${part} of ${String(name)}`))
  return {
    module: SoloistModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    providers: [
      { provide: optionsToken, inject, useFactory },
      { provide: token, inject: [optionsToken], useFactory: open },
      {
        provide: lifecycleToken,
        inject: [token, optionsToken, DiscoveryService],
        useFactory: (solo: Soloist, options: SoloistModuleOptions, discovery: Discovery) =>
          new Lifecycle({ solo, name, token, drainMs: checkDrain(options) }, discovery),
      },
    ],
    exports: [token],
  }
}

/** @throws SoloistError `INVALID_ARGUMENT`, or as `connect` */
function open(options: SoloistModuleOptions): Soloist {
  checkOptions(options)
  checkOptionNames(options, MODULE_NAMES)
  checkDrain(options)
  const { store, drainMs: _, ...rest } = options
  return connect(store, rest)
}

function checkDrain({ drainMs }: SoloistModuleOptions): number {
  return drainMs === undefined ? DEFAULT_DRAIN_MS : checkMs('drainMs', drainMs, 0)
}
