import { useState } from 'preact/hooks'
import { Copy } from './copy.tsx'
import { Tabs } from './tabs.tsx'

export type Command = {
  readonly tool: string
  readonly text: string
}

type CommandsProps = {
  readonly label: string
  readonly commands: readonly Command[]
}

/** Commands for several tools, of which one is shown; the choice is remembered. */
export function Commands({ label, commands }: CommandsProps) {
  const [tool, setTool] = useState(readTool)
  const chosen = commands.find((command) => command.tool === tool) ?? commands[0]
  if (chosen === undefined) return null
  const choose = (next: string) => {
    setTool(next)
    try {
      localStorage.setItem('berth-tool', next)
    } catch {
      // Storage can be blocked.
    }
  }
  return (
    <section class="commands" aria-label={label}>
      <Tabs
        label={label}
        tabs={commands.map((command) => ({ id: command.tool, label: command.tool }))}
        chosen={chosen.tool}
        onChoose={choose}
      >
        <div class="command">
          <code>{chosen.text}</code>
          <Copy text={chosen.text} what="the command" />
        </div>
      </Tabs>
    </section>
  )
}

function readTool(): string {
  try {
    return localStorage.getItem('berth-tool') ?? ''
  } catch {
    return ''
  }
}
