/** The longest host name (RFC 1035, section 2.3.4), brackets and a port. */
const maxLength = 253 + 2 + 6

/**
 * Whether a text can be a registry's host and port. Nothing else from a client's `?ns=` may reach the
 * log or a message.
 */
export function isRegistryHost(text: string): boolean {
  return (
    text.length <= maxLength && /^(?:[A-Za-z0-9._-]+|\[[A-Fa-f0-9:.]+\])(?::\d{1,5})?$/.test(text)
  )
}
