import { Message } from '../parts/message.tsx'
import { None } from '../parts/time.tsx'
import type { ConfigChange } from './config-changes.ts'

/** Fields of the configs that differ, with both values. */
export function ConfigTable({ changes }: { readonly changes: readonly ConfigChange[] }) {
  if (changes.length === 0) return <Message title="The configurations do not differ" icon="check" />
  return (
    <div class="scroll">
      <table class="config-changes">
        <thead>
          <tr>
            <th scope="col">Field</th>
            <th scope="col">Before</th>
            <th scope="col">After</th>
          </tr>
        </thead>
        <tbody>
          {changes.map(({ field, before, after }) => (
            <tr key={field}>
              <th scope="row">{field.replace(/^config\./, '')}</th>
              <Value json={before} kind="removed" />
              <Value json={after} kind="added" />
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

type ValueProps = { readonly json: string | undefined; readonly kind: 'removed' | 'added' }

function Value({ json, kind }: ValueProps) {
  if (json === undefined)
    return (
      <td>
        <None />
      </td>
    )
  return (
    <td>
      <code class={kind}>{textOf(json)}</code>
    </td>
  )
}

/** Without quotes, if it is a text. */
function textOf(json: string): string {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'string' && value !== '' ? value : json
  } catch {
    return json
  }
}
