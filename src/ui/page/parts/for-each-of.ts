/** Requests at once. */
const concurrency = 4

/** Few at a time, so that a large selection does not fill the browser's connections. */
export async function forEachOf(
  items: readonly string[],
  act: (item: string) => Promise<void>,
): Promise<void> {
  const rest = [...items]
  const work = async (): Promise<void> => {
    for (let next = rest.shift(); next !== undefined; next = rest.shift()) await act(next)
  }
  await Promise.all(Array.from({ length: concurrency }, work))
}
