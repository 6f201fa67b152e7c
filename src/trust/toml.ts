import { parse, type TomlTable, type TomlValue } from 'smol-toml'

/** Undefined for a text that is empty or no TOML: containerd ignores such files as well. */
export function parseTable(text: string): TomlTable | undefined {
  if (text === '') return undefined
  try {
    return parse(text)
  } catch {
    return undefined
  }
}

/** The table that the value is; an empty one for any other value. */
export function tableOf(value: TomlValue | undefined): TomlTable {
  const isTable = typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date)
  return isTable ? value : {}
}
