import { readdirSync, readFileSync } from 'node:fs'

/** What everybody on this machine can read of all processes while it runs: their arguments. */
export interface ArgumentsWatch {
  /** Each command line once, its arguments apart by NUL. */
  seen(): readonly string[]
  stop(): void
}

export function watchArguments(): ArgumentsWatch {
  const seen = new Set<string>()
  const look = () => {
    for (const pid of readdirSync('/proc')) if (/^\d+$/.test(pid)) seen.add(commandLine(pid))
  }
  look()
  const timer = setInterval(look, 20)
  return { seen: () => [...seen], stop: () => clearInterval(timer) }
}

/** Empty for one that has ended meanwhile. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
