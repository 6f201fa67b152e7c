import { redact } from '../telemetry/telemetry.ts'

/** In characters. */
const maxQuoteLength = 300

/** Longer than any word: a generated key or password. */
const opaque = /[\w+=-]{40,}/g

/**
 * The text of a service or a program for messages: one line of limited length, without the `secrets`
 * that were sent, and without text that looks like a secret.
 */
export function quote(text: string, secrets: readonly string[] = []): string {
  const redacted = secrets
    .filter(Boolean)
    .reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text.slice(0, 16 * 1024))
  return redact(redacted)
    .replace(opaque, '[redacted]')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, maxQuoteLength)
}
