/** Runs `action` for all items, `parallel` at a time, in their order. After a failure no other one starts. */
export async function forEachOf<Item>(
  items: readonly Item[],
  { parallel, signal }: { readonly parallel: number; readonly signal: AbortSignal },
  action: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = items.values()
  let hasFailed = false
  const work = async (): Promise<void> => {
    for (const item of waiting) {
      if (hasFailed) return
      signal.throwIfAborted()
      try {
        await action(item)
      } catch (error) {
        hasFailed = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: parallel }, work))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
