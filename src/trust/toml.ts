import { parse, type TomlTable, type TomlValue } from 'smol-toml'

/** Undefined for a text that is empty or not valid TOML: containerd ignores such files as well. */
export function parseTable(text: string): TomlTable | undefined {
  if (text === '') return undefined
  try {
    return parse(text)
  } catch {
    return undefined
  }
}

/** The value if it is a table, else an empty one. */
export function tableOf(value: TomlValue | undefined): TomlTable {
  const isTable = typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date)
  return isTable ? value : {}
}
