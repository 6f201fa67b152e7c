import type { Details } from '../../../api/answers.ts'
import { Notice } from '../parts/message.tsx'

export type Use = Details['inUse']['uses'][number]

/** What runs an image, once for each pod or workload. */
export function usesOf(...all: readonly (Details | undefined)[]): readonly Use[] {
  const uses = new Map<string, Use>()
  for (const details of all) for (const use of details?.inUse.uses ?? []) uses.set(keyOf(use), use)
  return [...uses.values()]
}

type UsesProps = { readonly uses: readonly Use[]; readonly isTruncated: boolean }

/** Who runs the image, and where. */
export function Uses({ uses, isTruncated }: UsesProps) {
  return (
    <div class="scroll">
      {isTruncated && <Notice>More workloads use it than are shown.</Notice>}
      <table class="uses">
        <thead>
          <tr>
            <th scope="col">Namespace</th>
            <th scope="col">Workload</th>
            <th scope="col">Node</th>
            <th scope="col">Image</th>
          </tr>
        </thead>
        <tbody>
          {uses.map((use) => (
            <tr key={keyOf(use)}>
              <td>{use.namespace}</td>
              <td>
                <span class="badge">{use.kind}</span> {use.name}
              </td>
              <td>{use.node}</td>
              <td>
                <code>{use.image}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function keyOf({ image, kind, namespace, name, node }: Use): string {
  return [image, kind, namespace, name, node].join(' ')
}
