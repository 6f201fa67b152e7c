import { useState } from 'preact/hooks'
import { Commands } from '../parts/commands.tsx'
import { pullCommands } from '../parts/pull-commands.ts'
import { useSession } from '../session.ts'

type ImageCommandsProps = {
  readonly name: string
  readonly reference: string
  readonly digest: string
}

/** How to pull the image: by its tag, or by its digest, which never means another image. */
export function ImageCommands({ name, reference, digest }: ImageCommandsProps) {
  const session = useSession()
  const isTag = !reference.includes(':')
  const [byDigest, setByDigest] = useState(!isTag)
  return (
    <div class="image-commands">
      <Commands
        label="Pull commands"
        commands={pullCommands(session, name, byDigest ? digest : reference)}
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
