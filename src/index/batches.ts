/** Lists of `size` entries; the last may be shorter. */
export async function* batches<Entry>(
  entries: AsyncIterable<Entry> | Iterable<Entry>,
  size: number,
): AsyncGenerator<readonly Entry[], void, undefined> {
  let batch: Entry[] = []
  for await (const entry of entries) {
    batch.push(entry)
    if (batch.length < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
