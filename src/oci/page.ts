/** Which part of a sorted list is asked for: at most `n` entries that come after `last`. */
export type PageRequest = { readonly n?: number | undefined; readonly last?: string | undefined }

/** `next`: the `last` of the request for what follows; undefined at the end of the list. */
export type Page<Entry> = { readonly entries: readonly Entry[]; readonly next?: string }

/**
 * Cuts a page out of a whole list; `last` need not be one of its entries. `n=0` asks for none, and for
 * no more (distribution-spec, "Listing Tags").
 */
export function cutPage<Entry extends string>(
  sorted: readonly Entry[],
  { n, last }: PageRequest,
): Page<Entry> {
  const rest = last === undefined ? sorted : sorted.filter((entry) => entry > last)
  const entries = n === undefined ? rest : rest.slice(0, n)
  const end = entries.at(-1)
  return end === undefined || entries.length === rest.length ? { entries } : { entries, next: end }
}
