import { Copy } from './copy.tsx'

/** The command that prints what a view shows. */
export function Equivalent({ command }: { readonly command: string }) {
  return (
    <p class="equivalent">
      <span>In a terminal</span>
      <code>{command}</code>
      <Copy text={command} what="the command" />
    </p>
  )
}
