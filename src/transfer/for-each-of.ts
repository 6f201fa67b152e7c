type Work<Item> = {
  /** Items at a time. */
  readonly parallel: number
  readonly signal: AbortSignal
  /** `signal` is aborted when another item has failed. */
  readonly action: (item: Item, signal: AbortSignal) => Promise<void>
}

/**
 * Runs `action` for all items, in their order. The first failure aborts the others, and is thrown when all
 * have ended: nothing goes on in the background.
 */
export async function forEachOf<Item>(
  items: readonly Item[],
  { parallel, signal, action }: Work<Item>,
): Promise<void> {
  const waiting = items.values()
  const failed = new AbortController()
  const until = AbortSignal.any([signal, failed.signal])
  const work = async (): Promise<void> => {
    for (const item of waiting) {
      until.throwIfAborted()
      try {
        await action(item, until)
      } catch (error) {
        failed.abort(error)
        throw error
      }
    }
  }
  await Promise.allSettled(Array.from({ length: parallel }, work))
  until.throwIfAborted()
}
