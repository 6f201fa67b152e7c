import { readFile } from 'node:fs/promises'
import type { z } from 'zod'

/**
 * Reads a JSON file that holds secrets: what is wrong with it is told without any of its text, of
 * which the parser's own message shows a part.
 */
export async function readJsonFile<Content>(
  file: string,
  schema: z.ZodType<Content>,
): Promise<Content> {
  const parsed = schema.safeParse(parseJson(await readFile(file, 'utf8'), file))
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new Error(`${file} is not what it should be: ${issues.join('; ')}`)
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${file} is not JSON`)
  }
}
