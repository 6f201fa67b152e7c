import { type Field, formatPath, listFields } from './fields.ts'
import { environmentName } from './sources.ts'

/** The sections that have a table of their own; the other fields are in `Server`. */
const sections = [
  'storage',
  'auth',
  'upstreams[].credentials',
  'upstreams[]',
  'hosted[]',
  'mirrors[]',
  'collection',
  'retention.rules[]',
  'retention',
  'inUse',
  'limits',
  'shutdown',
]

/** All fields as Markdown: a heading and a table for each section. */
export function fieldsTable(): string {
  return [...Map.groupBy(listFields(), headingOf)]
    .map(([heading, fields]) => [`### ${heading}`, '', ...tableOf(fields)].join('\n'))
    .join('\n\n')
}

function tableOf(fields: readonly Field[]): readonly string[] {
  const rows = fields.map(
    (field) =>
      `| \`${formatPath(field.path)}\` | ${defaultOf(field)} | ${field.description} | \`${environmentName(field)}\` |`,
  )
  return ['| field | default | meaning | environment |', '|---|---|---|---|', ...rows]
}

function headingOf({ path }: Field): string {
  const text = formatPath(path)
  const section = sections.find(
    (name) => text.startsWith(`${name}.`) || text.startsWith(`${name}[`),
  )
  return section === undefined ? 'Server' : `\`${section}\``
}

function defaultOf({ fallback, choices, type }: Field): string {
  const options =
    choices.length > 1 ? `one of ${choices.map((choice) => `\`${choice}\``).join(', ')}` : ''
  const written =
    fallback === undefined
      ? ''
      : `\`${type === 'text' ? (fallback === '' ? '""' : String(fallback)) : JSON.stringify(fallback)}\``
  return [written, options].filter(Boolean).join('; ')
}
