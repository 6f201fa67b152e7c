// Each takes time in proportion to the text, whatever it is: others write these texts.
const patterns: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[\w.~+/=:-]{4,}/gi, '$1 [redacted]'],
  // A word that often stands before other words: none of those is as long.
  [/\b(Token)\s+[\w.~+/=:-]{12,}/gi, '$1 [redacted]'],
  [/(\w{1,20}:\/\/)[^/\s]*@/g, '$1[redacted]@'],
  [/\b(?:ya29\.[\w-]{10,}|eyJ[\w-]{10,}(?:\.[\w-]*){0,2})/g, '[redacted]'],
]
const url = /(https?:\/\/[^\s?"']+)(\?[^\s"']*)?/g

/**
 * Takes out of a text what looks like a credential: authorization headers, userinfo and queries of
 * URLs (a signed URL's query is its key), Google access tokens and JWTs. For texts that others
 * wrote, such as a library's error message.
 */
export function redact(text: string): string {
  return patterns
    .reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), text)
    .replace(url, (whole: string, path: string, query?: string) =>
      query === undefined ? whole : `${path}?[redacted]`,
    )
}
