// Reading of JSON that anybody may have written: what has another type counts as missing, and what is too
// long is cut.

/** Characters of a text, and entries of a list or object, in an answer. */
const maxText = 16_384
const maxEntries = 1000

type Json = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Remembers whether something was cut. */
export function createJsonReader() {
  let isCut = false

  const cut = (value: string): string => {
    if (value.length <= maxText) return value
    isCut = true
    return value.slice(0, maxText)
  }

  const limited = <Entry>(entries: readonly Entry[]): readonly Entry[] => {
    if (entries.length <= maxEntries) return entries
    isCut = true
    return entries.slice(0, maxEntries)
  }

  return {
    isCut: () => isCut,
    limited,
    text: (value: unknown): string | undefined =>
      typeof value === 'string' && value !== '' ? cut(value) : undefined,
    texts: (value: unknown): readonly string[] =>
      Array.isArray(value)
        ? limited(value.filter((each) => typeof each === 'string')).map(cut)
        : [],
    list: (value: unknown): readonly unknown[] => (Array.isArray(value) ? limited(value) : []),
    object: (value: unknown): Json => (isObject(value) ? value : {}),
    keys: (value: unknown): readonly string[] =>
      isObject(value) ? limited(Object.keys(value)).map(cut) : [],
    labels: (value: unknown): Readonly<Record<string, string>> => {
      const entries = isObject(value) ? limited(Object.entries(value)) : []
      return Object.fromEntries(
        entries.flatMap(([key, each]) => (typeof each === 'string' ? [[cut(key), cut(each)]] : [])),
      )
    },
  }
}

export type JsonReader = ReturnType<typeof createJsonReader>
