/** The user-id and password of HTTP Basic (RFC 7617). */
export type Basic = { readonly username: string; readonly password: string }

/** In characters. A service account token in it takes up to 4000. */
const maxHeaderLength = 8192

const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Undefined for another scheme, and for credentials that are too long, are not UTF-8 in base64, or
 * contain control characters.
 */
export function parseBasic(authorization: string): Basic | undefined {
  if (authorization.length > maxHeaderLength) return undefined
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(authorization)?.[1]
  if (encoded === undefined) return undefined
  const text = decode(Buffer.from(encoded, 'base64'))
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0 || hasControls(text)) return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** RFC 7617 forbids them in user-ids and passwords. */
export function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

function decode(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
