import type { Command, Option } from 'commander'

/** What the last word may become. */
export type Completion = {
  readonly candidates: readonly Candidate[]
  /** Names of files, if no candidate fits. */
  readonly files: boolean
}

type Candidate = { readonly text: string; readonly description: string }

/**
 * What may stand in place of the last word, as commander's own tree knows it: commands, options, and choices of
 * options and arguments. `words`: after the program's name; the last one is being typed, and may be empty.
 */
export function complete(program: Command, words: readonly string[]): Completion {
  const before = words.slice(0, -1)
  const last = words.at(-1) ?? ''
  const { command, pending, position, isLiteral } = walk(program, before)
  if (pending !== undefined) return choicesOf(pending.argChoices, last)
  if (!isLiteral && last.startsWith('-')) return completeOption(command, last)
  const argument = argumentAt(command, position)
  const subcommands = position === 0 && !isLiteral ? subcommandsOf(command) : []
  const choices = argument?.argChoices?.map((text) => ({ text, description: '' })) ?? []
  return {
    candidates: matching([...subcommands, ...choices], last),
    files: argument !== undefined && argument.argChoices === undefined,
  }
}

type Walked = {
  readonly command: Command
  /** An option whose value is the last word. */
  readonly pending: Option | undefined
  /** Arguments of the command before the last word. */
  readonly position: number
  /** After `--`, nothing is an option. */
  readonly isLiteral: boolean
}

function walk(program: Command, words: readonly string[]): Walked {
  let command = program
  let pending: Option | undefined
  let position = 0
  let isLiteral = false
  for (const word of words) {
    if (pending !== undefined) pending = undefined
    else if (isLiteral) position += 1
    else if (word === '--') isLiteral = true
    else if (word.startsWith('-') && word !== '-') {
      const option = optionsOf(command).find(({ long, short }) => word === long || word === short)
      pending = option?.required === true ? option : undefined
    } else {
      const next = position === 0 ? subcommand(command, word) : undefined
      if (next === undefined) position += 1
      else command = next
    }
  }
  return { command, pending, position, isLiteral }
}

function completeOption(command: Command, word: string): Completion {
  const [flag = '', value] = splitOnce(word)
  const options = optionsOf(command)
  if (value === undefined) {
    const flags = options.map(({ long, short, description }) => ({
      text: long ?? short ?? '',
      description,
    }))
    return { candidates: matching(flags, word), files: false }
  }
  const choices = options.find(({ long }) => long === flag)?.argChoices
  const { candidates, files } = choicesOf(choices, value)
  return {
    files,
    candidates: candidates.map(({ text, description }) => ({
      text: `${flag}=${text}`,
      description,
    })),
  }
}

function splitOnce(word: string): readonly string[] {
  const at = word.indexOf('=')
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)]
}

function choicesOf(choices: readonly string[] | undefined, typed: string): Completion {
  const candidates = (choices ?? []).map((text) => ({ text, description: '' }))
  return { candidates: matching(candidates, typed), files: choices === undefined }
}

/** Those that the command shows in its help. */
function optionsOf(command: Command): readonly Option[] {
  return command.createHelp().visibleOptions(command)
}

function subcommandsOf(command: Command): readonly Candidate[] {
  const visible = command.createHelp().visibleCommands(command)
  return visible.map((one) => ({
    text: one.name(),
    description: one.summary() || one.description(),
  }))
}

function subcommand(command: Command, name: string): Command | undefined {
  return command.commands.find((one) => one.name() === name || one.aliases().includes(name))
}

function argumentAt({ registeredArguments }: Command, position: number) {
  const last = registeredArguments.at(-1)
  return registeredArguments[position] ?? (last?.variadic === true ? last : undefined)
}

function matching(candidates: readonly Candidate[], typed: string): readonly Candidate[] {
  return candidates.filter(({ text }) => text.startsWith(typed))
}

/** What a shell does besides (cobra's directives, which kubectl reads too): 4: it completes no names of files. */
const noFiles = 4

/** In the format of cobra: a line for each candidate, with its description after a tab, and the directive. */
export function formatCompletion({ candidates, files }: Completion): string {
  const lines = candidates.map(({ text, description }) =>
    [text, ...(description === '' ? [] : [firstLine(description)])].join('\t'),
  )
  return [...lines, `:${files && candidates.length === 0 ? 0 : noFiles}`, ''].join('\n')
}

function firstLine(text: string): string {
  return text.split(/[\n\t]/)[0] ?? ''
}
