// The danger: these texts come from others. So each pattern takes linear time.
const patterns: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[\w.~+/=:-]{4,}/gi, '$1 [redacted]'],
  // "Token" is a common word; the words that follow it are shorter.
  [/\b(Token)\s+[\w.~+/=:-]{12,}/gi, '$1 [redacted]'],
  [/(\w{1,20}:\/\/)[^/\s]*@/g, '$1[redacted]@'],
  [/\b(?:ya29\.[\w-]{10,}|eyJ[\w-]{10,}(?:\.[\w-]*){0,2})/g, '[redacted]'],
]
const url = /(https?:\/\/[^\s?"']+)(\?[^\s"']*)?/g

/**
 * Redacts credentials in texts of others, such as error messages of libraries: authorization headers,
 * userinfo and queries of URLs (which contain the signature of signed URLs), Google access tokens, JWTs.
 */
export function redact(text: string): string {
  return patterns
    .reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), text)
    .replace(url, (whole: string, path: string, query?: string) =>
      query === undefined ? whole : `${path}?[redacted]`,
    )
}
