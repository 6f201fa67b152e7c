/**
 * Columns under a header, two spaces apart; an empty cell is `-`. What registries wrote cannot move the
 * cursor of a terminal.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [header, ...rows.map((row) => row.map((cell) => printable(cell) || '-'))]
  const widths = header.map((_name, at) =>
    lines.reduce((width, line) => Math.max(width, line[at]?.length ?? 0), 0),
  )
  const format = (line: readonly string[]) =>
    line.map((cell, at) => cell.padEnd(at === line.length - 1 ? 0 : (widths[at] ?? 0)))
  return lines.map((line) => format(line).join('  ')).join('\n')
}

/** On one line, without control characters. */
export function printable(text: string): string {
  return text.replace(/ *[\p{Cc}\p{Zl}\p{Zp}]+ */gu, ' ').trim()
}

const collator = new Intl.Collator('en', { numeric: true })

/** 1.9 before 1.10, as people count. */
export function inNaturalOrder<Text extends string>(texts: Iterable<Text>): readonly Text[] {
  return [...texts].sort((a, b) => collator.compare(a, b) || (a < b ? -1 : 1))
}
