import { AsyncLocalStorage } from 'node:async_hooks'
import type { ClaimId, ClaimMode } from '../../backend.js'
import { SoloistError } from '../../errors.js'

type AnyBlock = Block<BlockLease>

/** Made with the first block, since in some versions of Node.js its mere use makes every promise dearer. */
let storage: AsyncLocalStorage<AnyBlock | null> | null = null
/** How many blocks run in this process. */
let running = 0

/** A lease, as the block that runs under it knows it. */
export interface BlockLease extends ClaimId {
  readonly held: boolean
  readonly claim: { readonly mode: ClaimMode }
  /** Whether a block runs under it, which ends it. */
  inBlock: boolean
}

/** What somebody is about to wait for. */
export interface Wanted {
  readonly name: string
  readonly mode: ClaimMode
  readonly limit: number | null
  readonly waitMs: number
}

/** Work that runs under leases: what was given to `withLock`, or the handler of a job. */
class Block<L extends BlockLease> {
  /** The blocks of one client. */
  readonly blocks: Blocks<L>
  readonly leases: readonly L[]
  /** The block that this one was started in; `null`: none that still runs. */
  readonly parent: AnyBlock | null
  over = false

  constructor(blocks: Blocks<L>, leases: readonly L[], parent: AnyBlock | null) {
    this.blocks = blocks
    this.leases = leases
    this.parent = parent
  }
}

/** What the blocks of one client need from it. */
export interface BlocksHost<L extends BlockLease> {
  /** The block that ran under this lease is over. */
  onBlockEnded(lease: L): void
}

/** Knows which blocks of one client run, and which of them a call is made in. */
export class Blocks<L extends BlockLease> {
  readonly #host: BlocksHost<L>

  constructor(host: BlocksHost<L>) {
    this.#host = host
  }

  /** Runs work under these leases. It is in its block, and so is whatever it starts. */
  async run<T>(leases: readonly L[], work: () => T | Promise<T>): Promise<T> {
    const block: AnyBlock = new Block<L>(this, leases, current()) as unknown as AnyBlock
    storage ??= new AsyncLocalStorage()
    running += 1
    for (const lease of leases) lease.inBlock = true
    try {
      return await storage.run(block, work)
    } finally {
      block.over = true
      running -= 1
      for (const lease of leases) {
        lease.inBlock = false
        this.#host.onBlockEnded(lease)
      }
    }
  }

  /** Whether the call is made in a block of this client that still runs. */
  get isInside(): boolean {
    return running > 0 && !this.around().next().done
  }

  /** The blocks of this client that still run and that the call is made in, the innermost first. */
  *around(): Generator<Block<L>, void, undefined> {
    for (let block = current(); block !== null; block = runningOf(block.parent)) {
      if (block.blocks === (this as unknown)) yield block as unknown as Block<L>
    }
  }

  /** Whether the call is made in a block that runs under this lock, or under this one of its owners. */
  isUnder(name: string, owner: string | null = null): boolean {
    return this.#own(name).some(lease => owner === null || lease.owner === owner)
  }

  /** Under how many leases of this lock the call is made. */
  countUnder(name: string): number {
    return this.#own(name).length
  }

  /**
   * To be asked by who waits for a lock and lets the block around it wait for that: it would wait for itself if the lock
   * cannot be granted before this block ends.
   *
   * @throws SoloistError `SELF_WAIT`
   */
  assertNoSelfWait({ name, mode, limit, waitMs }: Wanted): void {
    if (running === 0 || waitMs === 0) return
    const own = this.#own(name)
    const alone = mode === 'exclusive' ? own[0] : own.find(({ claim }) => claim.mode === 'exclusive')
    const full = limit !== null && own.length >= limit ? own[0] : undefined
    const lease = alone ?? full
    if (lease === undefined) return
    throw selfWait(`the lock ${JSON.stringify(name)}, which it holds itself, as ${lease.owner}`)
  }

  /** What the blocks around the call hold of a lock. */
  #own(name: string): readonly L[] {
    if (running === 0) return []
    return [...this.around()].flatMap(({ leases }) => leases.filter(lease => lease.name === name && lease.held))
  }
}

/** Runs what belongs to no block, wherever it is called. */
export function outsideBlocks<T>(run: () => T): T {
  return running === 0 || storage === null ? run() : storage.run(null, run)
}

/** A block waits for this, which cannot come before it ends. */
export function selfWait(what: string): SoloistError {
  return new SoloistError('SELF_WAIT', `the block waits for ${what}: it would wait for ever`)
}

function current(): AnyBlock | null {
  return running === 0 || storage === null ? null : runningOf(storage.getStore())
}

/** This block, or the next around it that still runs. What was started in a block and outlives it is in it no more. */
function runningOf(block: AnyBlock | null | undefined): AnyBlock | null {
  while (block?.over) block = block.parent
  return block ?? null
}
