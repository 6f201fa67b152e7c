import { useState } from 'preact/hooks'
import type { Manifest } from '../../../api/answers.ts'
import { Commands } from '../parts/commands.tsx'
import { pullCommands } from '../parts/pull-commands.ts'
import { useSession } from '../session.ts'

type ImageCommandsProps = {
  readonly name: string
  readonly reference: string
  readonly manifest: Manifest
}

/** How to pull the image: by its tag, or by its digest, which never means another image. */
export function ImageCommands({ name, reference, manifest }: ImageCommandsProps) {
  const session = useSession()
  const isTag = !reference.includes(':')
  const [byDigest, setByDigest] = useState(!isTag)
  return (
    <div class="image-commands">
      <Commands
        label="Pull commands"
        commands={pullCommands(session, {
          name,
          reference: byDigest ? manifest.digest : reference,
          kind: manifest.kind,
        })}
      />
      {isTag && (
        <fieldset class="switch">
          <legend class="hidden">Pull by</legend>
          {[false, true].map((value) => (
            <label key={String(value)}>
              <input
                type="radio"
                name="pull-by"
                checked={byDigest === value}
                onChange={() => setByDigest(value)}
              />
              <span>{value ? 'by digest' : 'by tag'}</span>
            </label>
          ))}
        </fieldset>
      )}
    </div>
  )
}
