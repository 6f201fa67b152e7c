import { Copy } from '../parts/copy.tsx'

type PairsProps = {
  readonly label: string
  readonly pairs: Readonly<Record<string, string>>
}

/** Names and values that anybody may have written; links among them are not made clickable. */
export function Pairs({ label, pairs }: PairsProps) {
  const entries = Object.entries(pairs).sort(([a], [b]) => (a < b ? -1 : 1))
  return (
    <table class="pairs">
      <caption>{label}</caption>
      <tbody>
        {entries.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name || '(empty)'}</th>
            <td>
              <span class="value">{value}</span>
              <Copy text={value} what={`the value of ${name}`} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
