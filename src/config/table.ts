import { type Field, formatPath, listFields } from './fields.ts'
import { environmentName } from './sources.ts'

/** All fields as a Markdown table. */
export function fieldsTable(): string {
  const rows = listFields().map(
    (field) =>
      `| \`${formatPath(field.path)}\` | ${defaultOf(field)} | ${field.description} | \`${environmentName(field)}\` |`,
  )
  return ['| field | default | meaning | environment |', '|---|---|---|---|', ...rows].join('\n')
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
