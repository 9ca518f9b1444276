import { invalidArgument, type SoloistError } from '../../errors.js'

/** One of Python's parameters: a name, `*name`, `**name`, or one of the separators `*` and `/`. */
const PARAMETER = /^(?:\*{0,2}[\p{L}_][\p{L}\p{N}_]*|[*/])$/u

interface Signature {
  /** Taken by place, in order. */
  readonly positional: readonly string[]
  /** How many of these cannot be given by name. */
  readonly positionalOnly: number
  readonly keywordOnly: ReadonlySet<string>
  /** The name that collects further values by place. */
  readonly rest: string | null
  /** The name that collects further values by name. */
  readonly extra: string | null
}

/**
 * Which value each of a Python function's parameters gets in a call, as `inspect.signature(f).bind(…).arguments` says:
 * parameters that were not given are absent, also those with a default.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a call that Python would refuse; but a parameter that has no default and was
 *   not given goes unnoticed, for nothing here tells which have one
 */
export function boundArguments(
  parameters: readonly string[],
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, unknown> {
  const { positional, positionalOnly, keywordOnly, rest, extra } = signatureOf(parameters)
  const bound = new Map<string, unknown>()
  args.slice(0, positional.length).forEach((value, i) => {
    bound.set(positional[i] as string, value ?? null)
  })
  if (args.length > positional.length) {
    if (rest === null)
      throw invalidArgument(`the task takes ${positional.length} arguments by place, not ${args.length}`)
    bound.set(rest, args.slice(positional.length))
  }
  const byName = new Set([...positional.slice(positionalOnly), ...keywordOnly])
  const others: Record<string, unknown> = Object.create(null)
  for (const name of Object.keys(kwargs)) {
    if (kwargs[name] === undefined) continue
    if (!byName.has(name)) others[name] = kwargs[name]
    else if (bound.has(name)) throw invalidArgument(`the argument ${shown(name)} is given by place and by name`)
    else bound.set(name, kwargs[name])
  }
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) {
    if (extra === null) throw invalidArgument(`the task has no parameter ${shown(unknown)} that is given by name`)
    bound.set(extra, others)
  }
  return bound
}

/** @throws SoloistError `INVALID_ARGUMENT` for a list that is no signature in Python */
export function signatureOf(parameters: readonly string[]): Signature {
  const names = new Set<string>()
  const positional: string[] = []
  const keywordOnly = new Set<string>()
  let positionalOnly = 0
  let rest: string | null = null
  let extra: string | null = null
  let star = false
  for (const parameter of checkParameters(parameters)) {
    const name = parameter.replace(/^[*/]+/, '')
    const slash = parameter === '/'
    const single = /^\*(?!\*)/.test(parameter)
    const misplaced =
      extra !== null ||
      names.has(name) ||
      (star && (single || slash)) ||
      (slash && (positional.length === 0 || positionalOnly > 0))
    if (misplaced) throw noSignature(`${shown(parameter)} cannot stand where it does`)
    if (name !== '') names.add(name)
    if (slash) positionalOnly = positional.length
    else if (parameter.startsWith('**')) extra = name
    else if (single) {
      star = true
      rest = name === '' ? null : name
    } else if (star) keywordOnly.add(name)
    else positional.push(name)
  }
  if (star && rest === null && keywordOnly.size === 0) throw noSignature('no name follows "*"')
  return { positional, positionalOnly, keywordOnly, rest, extra }
}

function noSignature(why: string): SoloistError {
  return invalidArgument(`parameters is not a signature in Python: ${why}`)
}

function checkParameters(parameters: unknown): readonly string[] {
  const right = Array.isArray(parameters) && parameters.every(name => typeof name === 'string' && PARAMETER.test(name))
  if (!right)
    throw invalidArgument("parameters must be a list of names as Python has them: ['a', 'b', '*rest', '**more']")
  return parameters
}

function shown(name: string): string {
  return JSON.stringify(name.length > 50 ? `${name.slice(0, 50)}…` : name)
}
