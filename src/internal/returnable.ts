/**
 * An async generator whose `return()` ends also a `next()` that waits. One made by `async function*` alone queues its
 * `return()` behind that, however long it waits.
 *
 * @param make the generator; it is to return when `returned` fires
 */
export function returnable<T>(
  make: (returned: AbortController) => AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  const returned = new AbortController()
  const inner = make(returned)
  const generator: AsyncGenerator<T, void, undefined> = {
    next: () => inner.next(),
    return: () => {
      returned.abort()
      return inner.return()
    },
    throw: error => {
      returned.abort()
      return inner.throw(error)
    },
    [Symbol.asyncIterator]: () => generator,
    [Symbol.asyncDispose]: async () => {
      await generator.return()
    },
  }
  return generator
}
