/** Does work for all entries, `width` at the same time. After a failure, no other entry is begun. */
export async function inLanes<Entry>(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  width: number,
  work: (entry: Entry) => Promise<void>,
): Promise<void> {
  const shared = iterate(entries)
  const lane = async (): Promise<void> => {
    for await (const entry of shared) await work(entry)
  }
  await Promise.all(Array.from({ length: width }, lane))
}

async function* iterate<Entry>(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
): AsyncGenerator<Entry, void, undefined> {
  yield* entries
}
