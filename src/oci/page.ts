/** The requested part of a sorted list: at most `n` entries after `last`. */
export type PageRequest = { readonly n?: number | undefined; readonly last?: string | undefined }

/** `next`: the `last` of the request for the next page; undefined on the last page. */
export type Page<Entry> = { readonly entries: readonly Entry[]; readonly next?: string }

/**
 * A page of a complete list. `last` need not be in the list. `n=0` is an empty page without a next one
 * (distribution-spec, "Listing Tags").
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
