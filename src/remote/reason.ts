import { z } from 'zod'

/** How much of an upstream's own words is passed on, in characters. */
const shownReason = 300

const errorSchema = z.looseObject({
  errors: z.array(z.looseObject({ message: z.string().optional() })),
})

/** An OCI error's message, or plain text; never markup. */
export function reasonIn(body: Buffer): string {
  const text = body.toString('utf8')
  const reason = messageIn(text) ?? (/[<{]/.test(text) ? '' : text)
  return reason
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, shownReason)
}

function messageIn(text: string): string | undefined {
  try {
    return errorSchema.parse(JSON.parse(text)).errors[0]?.message
  } catch {
    return undefined
  }
}
