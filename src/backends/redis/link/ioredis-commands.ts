import { withoutCommand } from './replies.js'

// A command of ioredis' own class, which its clients send as it is.

/** The members of ioredis' `Redis` and `Cluster` that are used here. */
export interface IoredisClient {
  readonly status: string
  readonly isCluster?: boolean
  readonly options: { readonly keyPrefix?: string | Buffer | undefined }
  sendCommand(command: never): unknown
  duplicate(): IoredisClient
  on(event: string, listener: (...args: unknown[]) => void): unknown
  subscribe(...channels: string[]): Promise<unknown>
  disconnect(): void
  nodes?(role: 'master'): readonly IoredisClient[]
}

interface SentCommand {
  readonly promise: Promise<unknown>
}

type CommandClass = new (name: string, args: readonly string[], options: { replyEncoding: 'utf8' }) => SentCommand

export interface CommandClasses {
  readonly Command: CommandClass
  /** A command that brings its own bytes. */
  readonly Encoded: new (
    key: string,
    bytes: string,
  ) => SentCommand
}

const TEXT = { replyEncoding: 'utf8' } as const
const classesOf = new WeakMap<CommandClass, CommandClasses>()

export function commandClassesOf(client: IoredisClient, ioredis: { readonly Command: unknown }): CommandClasses {
  const Command = (ownCommandClass(client)?.Command ?? ioredis.Command) as CommandClass
  let classes = classesOf.get(Command)
  if (classes === undefined) {
    classes = { Command, Encoded: encodedClass(Command) }
    classesOf.set(Command, classes)
  }
  return classes
}

function encodedClass(Command: CommandClass): CommandClasses['Encoded'] {
  return class extends Command {
    readonly #bytes: string

    /** By the key a cluster finds the server; nothing else is read of the arguments. */
    constructor(key: string, bytes: string) {
      super('evalsha', ['', '1', key], TEXT)
      this.#bytes = bytes
    }

    toWritable(): string {
      return this.#bytes
    }
  }
}

/**
 * A command with its keys as they are: the client's own methods would put its `keyPrefix` before each, which must stand
 * inside the hash tag.
 */
export function send(
  client: IoredisClient,
  { Command }: CommandClasses,
  [name, ...args]: readonly string[],
): Promise<unknown> {
  return run(client, new Command(name as string, args, TEXT))
}

export async function run(client: IoredisClient, command: SentCommand): Promise<unknown> {
  client.sendCommand(command as never)
  try {
    return await command.promise
  } catch (error) {
    throw withoutCommand(error)
  }
}

/** The class of the very ioredis that made the client, where it can be had: another version's would not do. */
export function ownCommandClass(client: IoredisClient): { readonly Command: CommandClass } | undefined {
  for (const made of [client, ...(client.nodes?.('master') ?? [])]) {
    const { Command } = made.constructor as { Command?: CommandClass }
    if (Command !== undefined) return { Command }
  }
  return undefined
}
