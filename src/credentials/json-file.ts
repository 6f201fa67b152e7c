import type { z } from 'zod'
import { describeIssue, readRegularFile } from '../input/input.ts'
import { parseJson } from './parse-json.ts'

/** Reads a JSON file that contains secrets: error messages never contain its text. */
export async function readJsonFile<Content>(
  file: string,
  schema: z.ZodType<Content>,
): Promise<Content> {
  const content = parseJson(await readRegularFile(file))
  if (content === undefined) throw new Error(`${file} is not valid JSON`)
  const parsed = schema.safeParse(content, { error: describeIssue })
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new Error(`${file} does not have the expected content: ${issues.join('; ')}`)
}
