import { spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { ReadStream } from 'node:tty'

/** A shell at a pseudo-terminal, as a person has it. */
export interface Terminal {
  /** Presses these keys; a line ends with `\r`. */
  type(keys: string): void
  /** Waits until the screen shows a match after the previous one. */
  shows(pattern: RegExp): Promise<RegExpExecArray>
  /** All that was shown so far. */
  screen(): string
  /** As when a person changes the size of the window. */
  resize(columns: number, rows: number): void
  close(): void
}

type TerminalOptions = {
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
}

/** Milliseconds: the machine may be busy with something else. */
const patience = 120_000

/** The shell's prompt: nothing else shows it. */
export const shellPrompt = '>>> '

/**
 * An interactive shell in a session of its own, whose controlling terminal is a new pseudo-terminal, so
 * that Ctrl-C is a key of its, and /dev/tty leads to it.
 */
export function openTerminal({ directory, environment }: TerminalOptions): Terminal {
  const { master, slave, name } = openPair()
  const shell = spawn('sh', ['-c', 'exec sh -i < "$0" > "$0" 2>&1', name], {
    cwd: directory,
    env: { PS1: shellPrompt, PATH: '/usr/bin:/bin', TERM: 'xterm', ...environment },
    stdio: 'ignore',
    detached: true,
  })
  const keys = new ReadStream(master)
  let screen = ''
  let seen = 0
  keys.on('data', (bytes: Buffer) => {
    screen += bytes.toString()
  })
  keys.on('error', () => {})

  return {
    type: (text) => void keys.write(text),
    screen: () => screen,
    resize: (columns, rows) => setSize(master, columns, rows),
    shows: async (pattern) => {
      const deadline = performance.now() + patience
      for (;;) {
        const match = pattern.exec(screen.slice(seen))
        if (match !== null) {
          seen += match.index + match[0].length
          return match
        }
        if (performance.now() > deadline) throw new Error(`no ${pattern} on the screen:\n${screen}`)
        await sleep(10)
      }
    },
    close: () => {
      if (shell.pid !== undefined && shell.exitCode === null) process.kill(-shell.pid, 'SIGKILL')
      keys.destroy()
      closeSync(slave)
    },
  }
}

/** posix_openpt(3) and related functions by FFI: Node cannot create a pseudo-terminal. */
function openPair(): { readonly master: number; readonly slave: number; readonly name: string } {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const libc = koffi.load(null)
  const master: number = libc.func('int posix_openpt(int flags)')(
    constants.O_RDWR | constants.O_NOCTTY,
  )
  const failed =
    master < 0 ||
    libc.func('int grantpt(int descriptor)')(master) !== 0 ||
    libc.func('int unlockpt(int descriptor)')(master) !== 0
  if (failed) throw new Error('the system has no pseudo-terminal for us')
  const name: string = libc.func('const char *ptsname(int descriptor)')(master)
  setSize(master, 80, 24)
  // Reading from the master fails while the slave is not open.
  return { master, slave: openSync(name, constants.O_RDWR | constants.O_NOCTTY), name }
}

/** TIOCSWINSZ of Linux: the foreground processes get SIGWINCH. */
function setSize(master: number, columns: number, rows: number): void {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const ioctl = koffi
    .load(null)
    .func('int ioctl(int descriptor, unsigned long request, void *size)')
  const size = Uint16Array.of(rows, columns, 0, 0)
  if (ioctl(master, 0x5414, size) !== 0) throw new Error('the terminal has no size')
}
