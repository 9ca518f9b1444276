import { AsyncLocalStorage } from 'node:async_hooks'
import type { HeldLease } from './lease.js'

/** Made with the first block, since in some versions of Node.js its mere use makes every promise dearer. */
let storage: AsyncLocalStorage<Block | null> | null = null
/** How many blocks run in this process. */
let running = 0

/** Work that runs under leases: what was given to `withLock`, or the handler of a job. */
export class Block {
  /** The blocks of one client. */
  readonly blocks: Blocks
  readonly leases: readonly HeldLease[]
  /** The block that this one was started in; `null`: none that still runs. */
  readonly parent: Block | null
  over = false

  constructor(blocks: Blocks, leases: readonly HeldLease[], parent: Block | null) {
    this.blocks = blocks
    this.leases = leases
    this.parent = parent
  }
}

/** What the blocks of one client need from it. */
export interface BlocksHost {
  /** The block that ran under this lease is over. */
  onBlockEnded(lease: HeldLease): void
}

/** Knows which blocks of one client run, and which of them a call is made in. */
export class Blocks {
  readonly #host: BlocksHost

  constructor(host: BlocksHost) {
    this.#host = host
  }

  /** Runs work under these leases. It is in its block, and so is whatever it starts. */
  async run<T>(leases: readonly HeldLease[], work: () => T | Promise<T>): Promise<T> {
    const block = new Block(this, leases, current())
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
  *around(): Generator<Block, void, undefined> {
    for (let block = current(); block !== null; block = runningOf(block.parent)) if (block.blocks === this) yield block
  }
}

function current(): Block | null {
  return running === 0 || storage === null ? null : runningOf(storage.getStore())
}

/** This block, or the next around it that still runs. What was started in a block and outlives it is in it no more. */
function runningOf(block: Block | null | undefined): Block | null {
  while (block?.over) block = block.parent
  return block ?? null
}
