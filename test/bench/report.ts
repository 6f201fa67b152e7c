import type { Row } from './measure.ts'

export function isMet({ value, target, better }: Row): boolean {
  return better === 'more' ? value >= target : value <= target
}

/** The rows as a Markdown table. */
export function toTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const mark = isMet(row) ? 'yes' : '**no**'
    return `| ${row.what} | ${format(row)} | ${row.better === 'more' ? '≥' : '≤'} ${row.target}${unitOf(row)} | ${mark} | ${row.detail} |`
  })
  return ['| what | measured | target | met | behind it |', '|---|---|---|---|---|', ...lines].join(
    '\n',
  )
}

const width = 980
const rowHeight = 26
const labels = 560
const bar = 300

/**
 * The rows as bars: how far each is better than its target, on a logarithmic scale with the target in
 * the middle.
 */
export function toPicture(rows: readonly Row[], subtitle: string): string {
  const height = 70 + rows.length * rowHeight
  const body = rows.map((row, at) => drawRow(row, 60 + at * rowHeight)).join('\n')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13">
<title>Berth against its targets</title>
<style>text{fill:#24292f}.dim{fill:#656d76}@media (prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#8b949e}}</style>
<text x="16" y="24" font-size="16" font-weight="600">Berth against its targets</text>
<text x="16" y="44" class="dim">${escapeXml(subtitle)} Right of the line: better than the target.</text>
<line x1="${labels + bar / 2}" x2="${labels + bar / 2}" y1="52" y2="${height - 8}" stroke="#8b949e" stroke-dasharray="3 3"/>
${body}
</svg>
`
}

function drawRow(row: Row, y: number): string {
  const gain = row.better === 'more' ? row.value / row.target : row.target / row.value
  const middle = labels + bar / 2
  const reach = Math.max(-1, Math.min(1, Math.log10(gain))) * (bar / 2)
  const colour = isMet(row) ? '#2da44e' : '#cf222e'
  const x = Math.min(middle, middle + reach)
  return [
    `<text x="16" y="${y + 14}">${escapeXml(row.what)}</text>`,
    `<rect x="${x.toFixed(1)}" y="${y + 3}" width="${Math.max(2, Math.abs(reach)).toFixed(1)}" height="14" rx="2" fill="${colour}"/>`,
    `<text x="${labels + bar + 12}" y="${y + 14}" class="dim">${escapeXml(format(row))}</text>`,
  ].join('')
}

function format(row: Row): string {
  const digits = row.value >= 100 ? 0 : row.value >= 10 ? 1 : row.value >= 0.1 ? 2 : 3
  return `${row.value.toFixed(digits)}${row.unit === 'ratio' ? ' ×' : unitOf(row)}`
}

function unitOf({ unit }: Row): string {
  return unit === 'ratio' ? '' : ` ${unit}`
}

function escapeXml(text: string): string {
  return text.replace(
    /[&<>]/g,
    (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character] ?? '',
  )
}
