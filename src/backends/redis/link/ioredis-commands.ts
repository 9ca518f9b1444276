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
    args: readonly string[],
    bytes: string,
  ) => SentCommand
}

/** Arguments cost ioredis more than anything else that it does for a command, and a client of one server reads none. */
const NO_ARGS: readonly string[] = []
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

    constructor(args: readonly string[], bytes: string) {
      super('evalsha', args, TEXT)
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

/** The same for a command that is encoded already. By its key a cluster finds the server. */
export function sendBytes(
  client: IoredisClient,
  { Encoded }: CommandClasses,
  key: string,
  bytes: string,
): Promise<unknown> {
  return run(client, new Encoded(client.isCluster === true ? ['', '1', key] : NO_ARGS, bytes))
}

function run(client: IoredisClient, command: SentCommand): Promise<unknown> {
  client.sendCommand(command as never)
  return command.promise
}

/** The class of the very ioredis that made the client, where it can be had: another version's would not do. */
export function ownCommandClass(client: IoredisClient): { readonly Command: CommandClass } | undefined {
  for (const made of [client, ...(client.nodes?.('master') ?? [])]) {
    const { Command } = made.constructor as { Command?: CommandClass }
    if (Command !== undefined) return { Command }
  }
  return undefined
}
