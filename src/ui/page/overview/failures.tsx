import type { Overview } from '../../../api/answers.ts'
import { Time } from '../parts/time.tsx'

/** What went wrong lately; equal failures are one line. */
export function Failures({ failures }: Pick<Overview, 'failures'>) {
  return (
    <div class="scroll">
      <table class="failures">
        <thead>
          <tr>
            <th scope="col">Last</th>
            <th scope="col" class="number">
              Times
            </th>
            <th scope="col">What happened</th>
          </tr>
        </thead>
        <tbody>
          {failures.map(({ at, times, name, upstream, status, code, message }) => (
            <tr key={`${name} ${upstream} ${code} ${message}`}>
              <td>
                <Time at={at} />
              </td>
              <td class="number">{times}</td>
              <td>
                <span class="badge bad">
                  {status} {code}
                </span>{' '}
                {name !== undefined && <code>{name}</code>} {message}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
