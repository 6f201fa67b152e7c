import { redact } from '../telemetry/telemetry.ts'

/** How much of others' words is told, in characters. */
const longestQuote = 300

/** No word is as long: keys and passwords of machines are. */
const opaque = /[\w+=-]{40,}/g

/**
 * What a service or a program said, to be told to people: one line, of bounded length, without what
 * looks like a secret, nor the `secrets` that it was shown.
 */
export function quote(text: string, secrets: readonly string[] = []): string {
  const scrubbed = secrets
    .filter(Boolean)
    .reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text.slice(0, 16 * 1024))
  return redact(scrubbed)
    .replace(opaque, '[redacted]')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, longestQuote)
}
