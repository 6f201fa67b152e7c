import { Option } from 'commander'

/** `-o`, for commands that print findings. */
export const outputOption = new Option('-o, --output <format>', 'output format')
  .choices(['text', 'json'])
  .default('text')

/** For options that may be repeated. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}
