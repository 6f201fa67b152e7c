import type { ComponentChildren } from 'preact'
import type { Manifest } from '../../../api/answers.ts'
import { counted } from '../parts/format.ts'
import { Notice } from '../parts/message.tsx'
import { Time } from '../parts/time.tsx'
import { Fact } from './image-facts.tsx'
import { Pairs } from './pairs.tsx'

export type Config = NonNullable<Manifest['config']>

/** How a container of the image runs. */
export function Configuration({ config }: { readonly config: Config }) {
  const { env, labels, entrypoint, cmd } = config
  const variables = Object.fromEntries(env.map(splitVariable))
  return (
    <>
      {config.problem !== undefined && <Notice>{config.problem}</Notice>}
      {config.truncated && <Notice>Lists or texts were too long, and are cut.</Notice>}
      <dl class="facts">
        {config.platform !== undefined && <Fact name="Platform">{config.platform}</Fact>}
        {config.created !== undefined && (
          <Fact name="Created">
            <Time at={config.created} />
          </Fact>
        )}
        {config.author !== undefined && <Fact name="Author">{config.author}</Fact>}
        <Words name="Entrypoint" words={entrypoint} />
        <Words name="Command" words={cmd} />
        <Fact name="User">
          <code>{config.user || 'root'}</code>
        </Fact>
        {config.workingDir !== undefined && config.workingDir !== '' && (
          <Fact name="Working directory">
            <code>{config.workingDir}</code>
          </Fact>
        )}
        <Codes name="Ports" texts={config.exposedPorts} />
        <Codes name="Volumes" texts={config.volumes} />
        {config.stopSignal !== undefined && (
          <Fact name="Stop signal">
            <code>{config.stopSignal}</code>
          </Fact>
        )}
      </dl>
      {env.length > 0 && (
        <Pairs label={counted(env.length, 'environment variable')} pairs={variables} />
      )}
      {Object.keys(labels).length > 0 && (
        <Pairs label={counted(Object.keys(labels).length, 'label')} pairs={labels} />
      )}
    </>
  )
}

function splitVariable(text: string): readonly [string, string] {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

type CodesProps = { readonly name: string; readonly texts: readonly string[] }

function Codes({ name, texts }: CodesProps): ComponentChildren {
  if (texts.length === 0) return null
  return (
    <Fact name={name}>
      {texts.map((text) => (
        <code key={text}>{text}</code>
      ))}
    </Fact>
  )
}

type WordsProps = { readonly name: string; readonly words: readonly string[] }

/** As a Dockerfile has it, so that words with spaces are told apart. */
function Words({ name, words }: WordsProps): ComponentChildren {
  if (words.length === 0) return null
  return (
    <Fact name={name}>
      <code>{JSON.stringify(words).replaceAll('","', '", "')}</code>
    </Fact>
  )
}
