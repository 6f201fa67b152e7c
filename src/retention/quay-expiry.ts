const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/**
 * `2w`, `20h`, … in milliseconds, as Quay reads it. Undefined for other values, such as `never`: Quay
 * ignores them.
 */
export function expiryOf(value: string | undefined): number | undefined {
  const match = /^(\d{1,6})([smhdw])$/.exec(value ?? '')
  const [, count, unit] = match ?? []
  return isUnit(unit) ? Number(count) * units[unit] : undefined
}

function isUnit(text: string | undefined): text is keyof typeof units {
  return text !== undefined && Object.hasOwn(units, text)
}
