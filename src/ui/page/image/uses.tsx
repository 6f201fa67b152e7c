import type { Details } from '../../../api/answers.ts'
import { Digest } from '../parts/digest.tsx'
import { Notice } from '../parts/message.tsx'
import { None } from '../parts/time.tsx'
import { compareLink, imageLink } from '../route.ts'

export type Use = Details['inUse']['uses'][number]

/** What runs an image, once for each pod or workload. */
export function usesOf(...all: readonly (Details | undefined)[]): readonly Use[] {
  const uses = new Map<string, Use>()
  for (const details of all) for (const use of details?.inUse.uses ?? []) uses.set(keyOf(use), use)
  return [...uses.values()]
}

type UsesProps = {
  readonly name: string
  /** The image, as a tag of it names it: the index rather than the image of a platform. */
  readonly digest: string
  readonly uses: readonly Use[]
  readonly isTruncated: boolean
}

/** Who runs the image, and where. */
export function Uses({ name, digest, uses, isTruncated }: UsesProps) {
  const hasRunning = uses.some(({ running }) => running !== undefined)
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
            {hasRunning && <th scope="col">Runs</th>}
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
              {hasRunning && (
                <td>
                  <Running {...{ name, digest }} running={use.running} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

type RunningProps = Pick<UsesProps, 'name' | 'digest'> & { readonly running: string | undefined }

function Running({ name, digest, running }: RunningProps) {
  if (running === undefined) return <None />
  if (running === digest) return <>this image</>
  return (
    <>
      <Digest digest={running} href={imageLink(name, running)} />{' '}
      <a href={compareLink({ name, reference: running }, { name, reference: digest })}>compare</a>
    </>
  )
}

function keyOf({ image, kind, namespace, name, node }: Use): string {
  return [image, kind, namespace, name, node].join(' ')
}
