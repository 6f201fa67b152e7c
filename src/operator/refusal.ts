import { z } from 'zod'

const failure = z.object({ message: z.string() })

/** The API server's own words. */
export function refusal(text: string): string {
  try {
    return `the API server answered: ${failure.parse(JSON.parse(text)).message}`
  } catch {
    return `the API server answered: ${text.slice(0, 200)}`
  }
}
