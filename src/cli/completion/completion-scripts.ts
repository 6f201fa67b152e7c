/**
 * Each script asks the program itself: `berth __complete WORD…` prints what the last word may become, and `:4` at its
 * end if that is no name of a file (see completion.ts).
 */
export const completionScripts = {
  // The words are read from the line: bash splits them at `:` and `=`, which are in names of images and in options.
  bash: `# bash completion for berth: source <(berth completion bash)
_berth_complete() {
  local line=\${COMP_LINE:0:COMP_POINT} output directive candidate head
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  COMPREPLY=()
  output=$("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null) || return 0
  directive=\${output##*:}
  local typed=\${words[\${#words[@]}-1]}
  # bash replaces only what follows the last of these.
  head=\${typed%"\${typed##*[=:]}"}
  while IFS=$'\\t' read -r candidate _; do
    [[ $candidate == :* || -z $candidate ]] || COMPREPLY+=("\${candidate#"$head"}")
  done <<<"$output"
  if ((\${#COMPREPLY[@]} == 0 && !(directive & 4))); then
    compopt -o filenames 2>/dev/null
    local IFS=$'\\n'
    COMPREPLY=($(compgen -f -- "\${typed#"$head"}"))
  fi
}
complete -F _berth_complete berth
`,
  zsh: `#compdef berth
# zsh completion for berth: source <(berth completion zsh), after compinit
_berth() {
  local line directive
  local -a lines candidates
  lines=("\${(@f)$(\${words[1]} __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  directive=\${lines[-1]#:}
  for line in "\${(@)lines[1,-2]}"; do
    candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}\${\${(M)line%$'\\t'*}:+:\${line#*$'\\t'}}")
  done
  if (( \${#candidates} )); then
    _describe -t berth berth candidates
  elif (( ! (directive & 4) )); then
    _files
  fi
}
compdef _berth berth
`,
  fish: `# fish completion for berth: berth completion fish | source
function __berth_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)
    test (count $lines) -gt 0; or return
    if test (count $lines) -eq 1 -a "$lines[-1]" = ":0"
        __fish_complete_path (commandline -ct)
    else
        string join \\n -- $lines[1..-2]
    end
end
complete -c berth -f -a '(__berth_complete)'
`,
  powershell: `# PowerShell completion for berth: berth completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName berth -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    $lines = @(& $words[0] __complete @($words | Select-Object -Skip 1) "$wordToComplete" 2>$null)
    $lines | Where-Object { $_ -notlike ':*' } | ForEach-Object {
        $text, $description = $_ -split "\`t", 2
        if (-not $description) { $description = $text }
        [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $description)
    }
}
`,
} as const

export type Shell = keyof typeof completionScripts
